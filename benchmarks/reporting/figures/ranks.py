"""The critical-difference diagram: mean ranks, and which methods' ranks cannot be told apart."""

import math

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.style import LOOK, method_styles
from benchmarks.reporting.significance import critical_difference
from benchmarks.texts import one_line

WIDTH = 5.2  # inches
ROW = 0.16  # inches per method or bar


def rank_diagram(records: pd.DataFrame) -> Figure | None:
    """Mean ranks of the competitors on one axis, best at the left.

    A bar joins methods whose mean ranks differ by less than Nemenyi's critical difference at .05:
    Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, Fig. 1.

    Args:
        records: rows per cell and scored round.

    Returns:
        The figure; None where there are fewer than two competitors or no complete block.
    """
    ranks = comparison.average_ranks(records).dropna(subset=["rank"])
    if len(ranks) < 2:
        return None
    n_blocks = int(ranks["n"].max())
    critical = critical_difference(len(ranks), n_blocks)
    joined = cliques(ranks["rank"].tolist(), critical)
    colours = {label: style["color"] for label, style in method_styles(records).items()}

    with matplotlib.rc_context(LOOK):
        n_rows = math.ceil(len(ranks) / 2) + len(joined) + 4
        figure = Figure(figsize=(WIDTH, n_rows * ROW + 0.4), layout="constrained")
        axes = figure.add_subplot()
        _draw_axis(axes, len(ranks), n_rows)
        _draw_bars(axes, joined)
        _draw_methods(axes, ranks, colours, first_row=len(joined) + 1)
        _draw_critical_difference(axes, critical, n_rows)
        figure.suptitle(f"mean ranks over {n_blocks} blocks (setting and seed), 1 is best")
        return figure


def cliques(ranks: list[float], critical: float) -> list[tuple[float, float]]:
    """The longest ranges of ascending mean ranks within which no two differ by ``critical``.

    Args:
        ranks: ascending.
        critical: the critical difference.

    Returns:
        First and last rank of each range of at least two methods, none of them within another.
    """
    found: list[tuple[float, float]] = []
    reached = -math.inf
    for first in ranks:
        last = max(rank for rank in ranks if rank - first < critical)
        if last > first and last > reached:
            found.append((first, last))
            reached = last
    return found


def _draw_axis(axes: Axes, n_methods: int, n_rows: int) -> None:
    """Ranks at the top; rows grow downwards."""
    axes.set_xlim(1, n_methods)
    axes.set_ylim(n_rows, 0)
    axes.xaxis.tick_top()
    step = max(1, n_methods // 10)
    axes.set_xticks(range(1, n_methods + 1, step))
    axes.yaxis.set_visible(False)
    axes.grid(False)
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _draw_bars(axes: Axes, joined: list[tuple[float, float]]) -> None:
    for row, (first, last) in enumerate(joined, start=1):
        axes.plot([first - 0.03, last + 0.03], [row, row], color="0.2", linewidth=2.5)


def _draw_methods(
    axes: Axes, ranks: pd.DataFrame, colours: dict[str, object], first_row: int
) -> None:
    """The better half is named at the left, the best on top; the others at the right."""
    n_left = math.ceil(len(ranks) / 2)
    left, right = axes.get_xlim()
    rows = zip(ranks["label"], ranks["rank"], strict=True)
    for place, (label, rank) in enumerate(rows):
        at_left = place < n_left
        row = first_row + (place if at_left else len(ranks) - 1 - place) + 1
        edge = left if at_left else right
        axes.plot([rank, rank, edge], [0, row, row], color=colours[label], linewidth=0.8)
        axes.annotate(
            f"{one_line(label)} {rank:.1f}",
            (edge, row),
            xytext=(-3 if at_left else 3, 0),
            textcoords="offset points",
            ha="right" if at_left else "left",
            va="center",
            annotation_clip=False,
        )


def _draw_critical_difference(axes: Axes, critical: float, n_rows: int) -> None:
    """A line of that length, below the methods."""
    start = 1.0
    row = n_rows - 1
    axes.plot([start, start + critical], [row, row], color="0.2", marker="|", linewidth=1)
    text = f"critical difference {critical:.2f}"
    axes.annotate(text, (start, row), xytext=(0, -9), textcoords="offset points")
