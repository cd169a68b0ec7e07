"""Figures for papers: in a venue's widths and fonts (tueplots), as PDF with embedded fonts."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tueplots import figsizes, fonts, fontsizes

from benchmarks.reporting.figures import look as looks
from benchmarks.reporting.figures.heatmaps import is_grid_point, write_heatmaps
from benchmarks.reporting.figures.suite_figures import write_figures
from benchmarks.reporting.figures.text import installed
from benchmarks.reporting.frames import with_status
from benchmarks.reporting.paper_styles import check_style
from benchmarks.reporting.parts import Failures

SERIF = ("STIXGeneral", "DejaVu Serif")
"""Fonts that every matplotlib has, after the venue's own: Times is not on every machine."""

TRUETYPE = 42
"""The kind of fonts that are embedded whole or in part; many venues refuse type 3."""


class Venue(NamedTuple):
    """How a venue's papers look.

    Attributes:
        column: width of a column, inches.
        text: width of the text, inches.
        look: settings of matplotlib.
    """

    column: float
    text: float
    look: dict[str, Any]


def venue(name: str) -> Venue:
    """A venue by the name of its style; see ``paper_styles.STYLES``."""
    check_style(name)
    if name == "neurips":
        width = _width(figsizes.neurips2024())
        return Venue(width, width, fonts.neurips2024() | fontsizes.neurips2024())
    if name == "icml":
        look = fonts.icml2024() | fontsizes.icml2024()
        return Venue(_width(figsizes.icml2024_half()), _width(figsizes.icml2024_full()), look)
    # tueplots has no IEEEtran: its widths are 252 and 516 points, and CVPR's look is IEEE's
    return Venue(252 / 72.27, 516 / 72.27, fonts.cvpr2024() | fontsizes.cvpr2024())


def _width(size: dict[str, Any]) -> float:
    return float(size["figure.figsize"][0])


@contextlib.contextmanager
def figures_for(name: str) -> Iterator[None]:
    """In the block, figures are drawn for a venue's papers and saved as PDF alone."""
    chosen = venue(name)
    look = {key: value for key, value in chosen.look.items() if key in LOOKS}
    families = [*chosen.look["font.serif"], *SERIF]
    look["font.family"] = [*installed(families), *looks.LOOK["font.family"]]
    look["figure.titlesize"] = look["axes.titlesize"]
    look |= {"pdf.fonttype": TRUETYPE, "ps.fonttype": TRUETYPE}
    with looks.changed_look(look, looks.Format(("pdf",), (chosen.column, chosen.text))):
        yield


LOOKS = (
    "font.size",
    "axes.titlesize",
    "axes.labelsize",
    "legend.fontsize",
    "xtick.labelsize",
    "ytick.labelsize",
)
"""The settings of a venue that figures take over."""


def write_paper_figures(
    records: pd.DataFrame,
    folder: Path,
    name: str,
    pages: Sequence[str] = (),
    failures: Failures | None = None,
) -> Path:
    """Write the figures of methods and the heat maps for papers.

    Args:
        records: rows per cell and scored round.
        folder: the folder of figures; they are written into its folder of the style's name.
        name: of the style.
        pages: the pages that the suite asks for.
        failures: get the figures that cannot be drawn; None: their errors are raised.

    Returns:
        Where the figures are.
    """
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    with figures_for(name):
        write_heatmaps(records, place, failures)
        others = records.loc[~is_grid_point(records)]
        if len(with_status(others, "done")):
            write_figures(others, place, pages, failures)
    return place
