"""Text in figures: any label is drawn as it is written, whole, and within the figure."""

import functools
import math
import textwrap
from collections.abc import Sequence

from matplotlib import font_manager

from benchmarks.texts import escaped, one_line

FONT = "DejaVu Sans"
"""It ships with matplotlib: the same glyphs on every machine."""

OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
)
"""For the characters that FONT lacks, where they are installed."""

CHARACTERS_PER_INCH = 13
"""Of a title."""

TICK_CHARACTERS = 28
"""Of a line of a tick's text."""


LINE_HEIGHT = 0.13
"""Height of a line of a tick's text, inches."""


def fonts() -> list[str]:
    """The families of fonts for figures, in the order in which a glyph is looked for."""
    return [FONT, *installed(OTHER_FONTS)]


def installed(families: Sequence[str]) -> list[str]:
    """Those of the families of fonts that this machine has."""
    present = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in families if name in present]


@functools.cache
def _glyphs() -> frozenset[int]:
    """The characters (code points) that these fonts have."""
    known: set[int] = set()
    for name in fonts():
        path = font_manager.findfont(font_manager.FontProperties(family=name))
        known |= font_manager.get_font(path).get_charmap().keys()
    return frozenset(known)


def drawable(text: str) -> str:
    r"""The text on one line; characters that no font has become e.g. ``\u4e2d``."""
    characters = []
    for character in one_line(text):
        characters.append(character if ord(character) in _glyphs() else escaped(character))
    return "".join(characters)


def wrapped(text: str, characters: float) -> str:
    """The drawable text in lines of at most this many characters; its own line breaks stay.

    Only this project writes line breaks: those of labels are shown by ``one_line`` before.
    """
    width = max(int(characters), 8)
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(drawable(line), width) or [line]
    return "\n".join(lines)


def tick_texts(labels: list[str]) -> list[str]:
    """Labels beside an axis; long ones have several lines."""
    return [wrapped(one_line(label), TICK_CHARACTERS) for label in labels]


def places_of_rows(texts: list[str], lines_per_row: int) -> tuple[list[float], int]:
    """Where the rows of a figure are, from above; a text of many lines takes several rows.

    Args:
        texts: the text beside each row.
        lines_per_row: lines that have room in one row.

    Returns:
        The middle of each row, 0 for the first one if it is one row high; and the height of all.
    """
    places = []
    height = 0
    for text in texts:
        rows = math.ceil(most_lines([text]) / lines_per_row)
        places.append(height + (rows - 1) / 2)
        height += rows
    return places, height


def most_lines(texts: list[str]) -> int:
    """The lines of the text with the most of them; at least 1."""
    return max([text.count("\n") + 1 for text in texts], default=1)
