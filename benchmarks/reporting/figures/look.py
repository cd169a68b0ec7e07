"""Settings of matplotlib for all figures, and how figures are saved."""

import io
from pathlib import Path
from typing import Any

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


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG; each file is complete or is not there.

    Returns:
        The paths of the two files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png = folder / f"{name}.png"
    svg = folder / f"{name}.svg"
    write_whole(png, _rendered(figure, "png", {}))
    write_whole(svg, _rendered(figure, "svg", {"Date": None}))
    return [png, svg]


def _rendered(figure: Figure, ending: str, metadata: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context(LOOK):
        figure.savefig(content, format=ending, metadata=metadata)
    return content.getvalue()
