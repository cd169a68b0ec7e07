"""Settings of matplotlib for all figures, and how figures are saved."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.reporting.figures.text import fonts
from mosaic.fl.files import write_whole

LOOK: dict[Any, Any] = dict(sns.axes_style("ticks"))
LOOK |= {
    "font.family": fonts(),
    "text.parse_math": False,  # a label may have "$"
    "font.size": 8,
    "figure.titlesize": 9,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.2,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 200,
    "svg.hashsalt": "mosaic-bench",  # with no date in the metadata: the same bytes every time
}
"""Settings of matplotlib for all figures."""

LOOK_OF_IMAGES: dict[Any, Any] = {**LOOK, "axes.grid": False}
"""Settings of matplotlib for heat maps and images."""

UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The metadata by ending: the same bytes every time."""


class Format(NamedTuple):
    """How figures are saved.

    Attributes:
        endings: of the files.
        widths: of a figure of one panel across and of several, inches; None for as wide as they
            need. A figure of a given width is for a text, whose caption has its title.
    """

    endings: tuple[str, ...] = ("png", "svg")
    widths: tuple[float, float] | None = None


_formats = [Format()]
"""The format of figures now is the last one."""


@contextlib.contextmanager
def changed_look(look: dict[str, Any], saved_as: Format) -> Iterator[None]:
    """In the block, figures have other settings of matplotlib and another format."""
    before = dict(LOOK), dict(LOOK_OF_IMAGES)
    LOOK.update(look)
    LOOK_OF_IMAGES.update(look)
    _formats.append(saved_as)
    try:
        yield
    finally:
        _formats.pop()
        LOOK.update(before[0])
        LOOK_OF_IMAGES.update(before[1])
        for key in look:
            if key not in before[0]:
                del LOOK[key], LOOK_OF_IMAGES[key]


def figure_width(inches: float, across: int) -> float:
    """The width of a figure that needs so many inches and has so many panels across."""
    widths = current_format().widths
    if widths is None:
        return inches
    return widths[0] if across == 1 else widths[1]


def current_format() -> Format:
    """How figures are saved now."""
    return _formats[-1]


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG, or for a paper; each file is complete or is not there.

    Returns:
        The paths of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending in current_format().endings:
        path = folder / f"{name}.{ending}"
        write_whole(path, _rendered(figure, ending, UNDATED.get(ending, {})))
        paths.append(path)
    return paths


def _rendered(figure: Figure, ending: str, metadata: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context(LOOK):
        figure.savefig(content, format=ending, metadata=metadata)
    return content.getvalue()
