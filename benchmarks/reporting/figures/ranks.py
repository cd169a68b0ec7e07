"""The critical-difference diagram: mean ranks, and which methods' ranks cannot be told apart."""

import math

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.style import LOOK, method_styles
from benchmarks.reporting.frames import groups
from benchmarks.reporting.names import setting_name
from benchmarks.reporting.significance import critical_difference
from benchmarks.texts import one_line

WIDTH = 5.2  # inches
ROW = 0.16  # inches per method or bar


def rank_diagram(records: pd.DataFrame) -> Figure | None:
    """Mean ranks of the competitors, an axis per setting, best at the left.

    A bar joins methods whose mean ranks differ by less than Nemenyi's critical difference at .05:
    Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, Fig. 1.

    Args:
        records: rows per cell and scored round.

    Returns:
        The figure; None where no setting has two competitors and a complete block.
    """
    tables = {}
    for setting, here in groups(records, comparison.SETTING):
        ranks = comparison.average_ranks(here).dropna(subset=["rank"])
        if len(ranks) >= 2:
            tables[setting_name(*setting)] = ranks
    if not tables:
        return None

    colours = {label: style["color"] for label, style in method_styles(records).items()}
    n_rows = [_n_rows(ranks) for ranks in tables.values()]
    with matplotlib.rc_context(LOOK):
        size = (WIDTH, sum(n_rows) * ROW + 0.5 * len(tables))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(tables), squeeze=False, height_ratios=n_rows)[:, 0]
        for axes, (name, ranks) in zip(panels, tables.items(), strict=True):
            _draw_setting(axes, name, ranks, colours)
        return figure


def _critical(ranks: pd.DataFrame) -> float:
    return critical_difference(len(ranks), int(max(ranks["n"], default=0)))


def _n_rows(ranks: pd.DataFrame) -> int:
    """Rows of a setting: half of its methods, its bars, and the critical difference."""
    n_bars = len(cliques(ranks["rank"].tolist(), _critical(ranks)))
    return math.ceil(len(ranks) / 2) + n_bars + 4


def _draw_setting(axes: Axes, name: str, ranks: pd.DataFrame, colours: dict[str, object]) -> None:
    """Draw the ranks of one setting, what ``comparison.average_ranks`` makes of its records."""
    joined = cliques(ranks["rank"].tolist(), _critical(ranks))
    n_rows = _n_rows(ranks)
    _draw_axis(axes, len(ranks), n_rows)
    _draw_bars(axes, joined)
    _draw_methods(axes, ranks, colours, first_row=len(joined) + 1)
    _draw_critical_difference(axes, _critical(ranks), n_rows)
    n_blocks = int(max(ranks["n"], default=0))
    axes.set_title(f"mean ranks on {name}, {n_blocks} pairs of omega and seed; 1 is best")


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
