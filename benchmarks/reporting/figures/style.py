"""The look of all figures: colours, markers, panels, legends."""

import io
import math
import textwrap
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from benchmarks.reporting import comparison as st
from mosaic.fl.files import write_whole

LOOK = sns.axes_style("ticks")

PALETTE = sns.color_palette("colorblind")

FAMILIES = {  # (what clients send beside models, when): colour; the first that fits. Grey is kept for the frame
    ("prototypes", ""): PALETTE[3],
    ("generators", ""): PALETTE[2],
    ("proxy images", ""): PALETTE[5],
    ("label counts", "every round"): PALETTE[1],
    ("", "once, after the rounds"): PALETTE[4],
    ("", ""): PALETTE[0],
}

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

BARS = {"capsize": 1.5, "elinewidth": 0.7}

PANEL = (2.5, 2.0)  # width and height of one panel, inches

MANY = 9  # with more methods than this, lines against omega cannot be told apart, and panels are larger

ACROSS = 3  # panels in a row at most, so that a figure fits a page's width


def method_styles(records: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The look of each method, in the tables' order: a family's colour, a marker and line of its own; grey frame.

    Records that say nothing of their methods' needs and protocol have one family.
    """
    told = (
        records.reindex(columns=["method", "needs", "protocol"])
        .astype(object)
        .fillna("")
        .drop_duplicates("method")
    )
    facts = {row.method: (row.needs, row.protocol) for row in told.itertuples()}
    styles, looks = {}, zip(cycle(MARKERS), cycle(LINES), strict=False)
    for method in st.method_order(records):
        needs, protocol = facts[method]
        family = next(family for family in FAMILIES if family[0] in needs and family[1] in protocol)
        if method == st.FLOOR:
            styles[method] = {"color": "0.55", "marker": "x", "linestyle": (0, (1, 1.5))}
        elif method == st.CEILING:
            styles[method] = {"color": "0.0", "marker": "+", "linestyle": (0, (4, 2))}
        else:
            marker, line = next(looks)
            styles[method] = {"color": FAMILIES[family], "marker": marker, "linestyle": line}
            styles[method] |= {"linewidth": 1.8} if family[0] == "prototypes" else {}
    return styles


def figure_of_panels(
    records: pd.DataFrame,
    rows: pd.DataFrame,
    by: list[str],
    draw: Callable[..., None],
    title: str,
    x_label: str,
) -> Figure | None:
    """One panel for each group of ``rows``, accuracy in per cent upwards, the legend below."""
    groups = {panel_title(group): members for group, members in rows.groupby(by)}
    if not groups:
        return None
    styles = method_styles(records)  # of all records: a method that failed here keeps its colour
    across = rows["omega"].nunique() if by == st.GROUP and rows["omega"].nunique() <= 4 else ACROSS
    with matplotlib.rc_context(LOOK):
        size = PANEL if len(styles) <= MANY else (1.3 * PANEL[0], 1.6 * PANEL[1])
        figure, panels = new_panels(
            list(groups), size, x_label, "accuracy (per cent)", across, share=True
        )
        for members, axes in zip(groups.values(), panels, strict=True):
            draw(axes, members, styles)
        seeds = st.seeds_name(st.summarise(records)["n"])
        handles = [
            Line2D([], [], label=m, **look)
            for m, look in styles.items()
            if m in set(rows["method"])
        ]
        finish(figure, f"{title}, {seeds}" + ", ± 1 sd" * (seeds != "n = 1 seed"), handles)
        return figure


def finish(figure: Figure, title: str, handles: list[Line2D | Patch]) -> None:
    """The title, wrapped to the figure's width, and the legend below, in as many columns as fit."""
    width = figure.get_size_inches()[0]
    figure.suptitle(textwrap.fill(title, int(13 * width)))
    columns = columns_that_fit([handle.get_label() for handle in handles], 72 * width)
    figure.legend(
        handles=handles, ncols=columns, loc="outside lower center", frameon=False, handlelength=3
    )


def columns_that_fit(labels: list[str], points: float) -> int:
    """How many columns of a legend fit side by side: each is as wide as its longest label, its line and the spaces."""
    size = LOOK["legend.fontsize"]
    widths = [TextPath((0, 0), label, size=size).get_extents().width + 6 * size for label in labels]
    fitting = (
        n for n in range(len(labels), 1, -1) if sum(map(max, np.array_split(widths, n))) <= points
    )
    return next(fitting, 1)


def new_panels(
    titles: list[str],
    size: tuple[float, float],
    x_label: str,
    y_label: str,
    across: int = ACROSS,
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel of about the given size (inches) each; labels stand on the outer panels."""
    across = min(across, len(titles))
    down = math.ceil(len(titles) / across)
    figure = Figure((size[0] * across + 0.9, (size[1] + 0.35) * down + 0.9), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=share).ravel().tolist()
    for spare in panels[len(titles) :]:
        spare.remove()
    for i, title in enumerate(titles):
        below, left = i + across >= len(titles), i % across == 0
        panels[i].set(title=title, xlabel=x_label if below else "", ylabel=y_label if left else "")
        sns.despine(ax=panels[i])
    return figure, panels[: len(titles)]


def panel_title(group: tuple) -> str:
    """The group in words on two short lines, e.g. "fashion-mnist, 10 clients" over "mixed widths, ω 0.1"."""
    dataset, clients, width = st.setting_name(*group[:3]).split(", ", 2)
    width = width if len(width) <= 24 else f"{width[:23]}…"
    return f"{dataset}, {clients}\n" + ", ".join([width, *(f"ω {omega:g}" for omega in group[3:])])


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG, aside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{name}.png": {}, folder / f"{name}.svg": {"Date": None}}
    for path, metadata in paths.items():
        with matplotlib.rc_context(LOOK):
            figure.savefig(content := io.BytesIO(), format=path.suffix[1:], metadata=metadata)
        write_whole(path, content.getvalue())
    return list(paths)
