"""The look of all figures: colours, markers, panels, legends."""

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any, cast

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from benchmarks.planning.methods import CEILING, FLOOR
from benchmarks.reporting.figures.look import LOOK, current_format, figure_width
from benchmarks.reporting.figures.text import (
    CHARACTERS_PER_INCH,
    LINE_HEIGHT,
    drawable,
    most_lines,
    wrapped,
)
from benchmarks.reporting.names import method_order
from benchmarks.texts import one_line

PALETTE = sns.color_palette("colorblind")

FAMILIES = {
    ("prototypes", ""): PALETTE[3],
    ("generators", ""): PALETTE[2],
    ("proxy images", ""): PALETTE[5],
    ("label counts", "every round"): PALETTE[1],
    ("", "once, after the rounds"): PALETTE[4],
    ("", ""): PALETTE[0],
}
"""(What clients send beside models, when): colour. The first that fits is used; "" fits all.

Grey is kept for the floor and the ceiling.
"""

MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h"]

LINES = [
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
    (0, (2, 2)),
]

BARS: dict[str, Any] = {"capsize": 1.5, "elinewidth": 0.7}
"""The look of error bars."""

PANEL = (2.5, 2.0)
"""Width and height of one panel, inches."""

LARGE_PANEL = (1.3 * PANEL[0], 1.6 * PANEL[1])

MANY = 9
"""With more methods than this, lines against omega look alike, and panels are larger."""

LEGEND_MARGIN = 6
"""Space beside each text of a legend, for the line and gaps, in sizes of its font."""

USUAL_ROWS = 6
"""Rows of a legend that have room in a figure of the usual height."""

USUAL_TITLE_LINES = 3

ACROSS = 3
"""Panels in a row at most, so that a figure fits the width of a page."""

Style = dict[str, Any]


def method_styles(records: pd.DataFrame) -> dict[str, Style]:
    """The look of each method, by label and in the order of the tables.

    Methods that need the same of clients share a colour; each has a marker and a line style of its
    own. Floor and ceiling are grey. Methods whose needs and protocol are not in the records have
    one colour.
    """
    columns = ["label", "needs", "protocol"]
    facts = records.reindex(columns=columns).astype(object).fillna("").drop_duplicates("label")
    families = {}
    for row in facts.to_dict("records"):
        families[row["label"]] = _family(row["needs"], row["protocol"])

    styles: dict[str, Style] = {}
    markers = cycle(MARKERS)
    lines = cycle(LINES)
    for label in method_order(records):
        if label == FLOOR:
            styles[label] = {"color": "0.55", "marker": "x", "linestyle": (0, (1, 1.5))}
            continue
        if label == CEILING:
            styles[label] = {"color": "0.0", "marker": "+", "linestyle": (0, (4, 2))}
            continue

        family = families[label]
        styles[label] = {
            "color": FAMILIES[family],
            "marker": next(markers),
            "linestyle": next(lines),
        }
        if family[0] == "prototypes":
            styles[label]["linewidth"] = 1.8
    return styles


def _family(needs: str, protocol: str) -> tuple[str, str]:
    """The first family of FAMILIES that fits."""
    for need, when in FAMILIES:
        if need in needs and when in protocol:
            return need, when
    return "", ""


def changed(style: Style, **changes: Any) -> Style:
    """The style with some of its properties changed."""
    return {**style, **changes}


def line_handle(label: str, style: Style) -> Line2D:
    """An entry of a legend: a line with its marker."""
    return Line2D([], [], label=label, **style)


def finish(figure: Figure, title: str, handles: Sequence[Line2D | Patch]) -> None:
    """Add the title, wrapped to the figure's width, and the legend below it.

    Args:
        figure: a figure of panels.
        title: one line.
        handles: the entries of the legend, which has as many columns as fit.
    """
    set_title(figure, title)
    if not handles:
        return
    points = 72 * figure.get_size_inches()[0]
    size = LOOK["legend.fontsize"]
    labels = [one_line(str(handle.get_label())) for handle in handles]
    texts = [wrapped(label, points / size - LEGEND_MARGIN) for label in labels]

    columns = columns_that_fit(texts, points)
    rows = math.ceil(len(texts) / columns) * most_lines(texts)
    _add_room(figure, rows - USUAL_ROWS)

    # Older matplotlib leaves out labels that begin with "_": the texts are set afterwards.
    legend = figure.legend(
        handles=list(handles),
        labels=[f"entry {i}" for i in range(len(texts))],
        ncols=columns,
        loc="outside lower center",
        frameon=False,
        handlelength=3,
    )
    for entry, text in zip(legend.get_texts(), texts, strict=True):
        entry.set_text(text)


def set_title(figure: Figure, title: str) -> None:
    """Add a title above all panels, wrapped to the figure's width; none for a text."""
    if current_format().widths is not None:
        return
    text = wrapped(title, CHARACTERS_PER_INCH * figure.get_size_inches()[0])
    figure.suptitle(text)
    _add_room(figure, most_lines([text]) - USUAL_TITLE_LINES)


def _add_room(figure: Figure, lines: int) -> None:
    """Make the figure higher by some lines of text, so that its panels keep their size."""
    if lines > 0:
        figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * lines)


def columns_that_fit(labels: list[str], points: float) -> int:
    """How many columns of a legend fit side by side.

    A column is as wide as its longest label, its line and the spaces between them.

    Args:
        labels: the entries of the legend.
        points: the width of the figure, 1/72 inch.
    """
    size = LOOK["legend.fontsize"]
    widths = []
    for label in labels:
        lines = [TextPath((0, 0), line, size=size) for line in label.split("\n")]
        text_width = max(line.get_extents().width for line in lines)
        widths.append(text_width + LEGEND_MARGIN * size)

    for n in range(len(labels), 1, -1):
        columns = np.array_split(widths, n)
        if sum(max(column) for column in columns) <= points:
            return n
    return 1


def new_panels(
    titles: list[str],
    size: tuple[float, float],
    x_label: str,
    y_label: str,
    across: int = ACROSS,
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A new figure with one panel per title.

    Args:
        titles: the titles of the panels.
        size: width and height of a panel, inches (about).
        x_label: label of the lower axis, on the lowest panels.
        y_label: label of the left axis, on the leftmost panels.
        across: panels in a row at most.
        share: whether all panels have one scale upwards.
    """
    across = min(across, len(titles))
    down = math.ceil(len(titles) / across)
    natural = size[0] * across + 0.9
    width = figure_width(natural, across)
    panel_width = size[0] + (width - natural) / across
    figure = Figure((width, (size[1] + 0.35) * down + 0.9), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=share)
    panels = cast(list[Axes], grid.ravel().tolist())

    for spare in panels[len(titles) :]:
        spare.remove()
    panels = panels[: len(titles)]

    for i, axes in enumerate(panels):
        axes.set_title(wrapped(titles[i], CHARACTERS_PER_INCH * (panel_width + 0.2)))
        if i + across >= len(titles):
            axes.set_xlabel(drawable(x_label))
        if i % across == 0:
            axes.set_ylabel(drawable(y_label))
        sns.despine(ax=axes)
    return figure, panels
