"""The critical-difference diagram: mean ranks, and which of them may be equal."""

import math

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting import comparison, rankings
from benchmarks.reporting.figures.look import LOOK, figure_width
from benchmarks.reporting.figures.style import method_styles
from benchmarks.reporting.figures.text import CHARACTERS_PER_INCH, TICK_CHARACTERS, wrapped
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
        ranks = rankings.average_ranks(here).dropna(subset=["rank"])
        if len(ranks) >= 2:
            tables[setting_name(*setting)] = ranks
    if not tables:
        return None

    colours = {label: style["color"] for label, style in method_styles(records).items()}
    n_rows = [_n_rows(ranks) for ranks in tables.values()]
    with matplotlib.rc_context(LOOK):
        size = (figure_width(WIDTH, across=2), sum(n_rows) * ROW + 0.5 * len(tables))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(tables), squeeze=False, height_ratios=n_rows)[:, 0]
        for axes, (name, ranks) in zip(panels, tables.items(), strict=True):
            _draw_setting(axes, name, ranks, colours)
        return figure


def _critical(ranks: pd.DataFrame) -> float:
    return critical_difference(len(ranks), int(max(ranks["n"], default=0)))


def _texts(ranks: pd.DataFrame) -> list[str]:
    """The labels as they are drawn, which may be several lines each."""
    return [wrapped(one_line(label), TICK_CHARACTERS) for label in ranks["label"]]


def _n_left(texts: list[str]) -> int:
    """How many methods, the best ones, are named at the left."""
    return math.ceil(len(texts) / 2)


def _n_rows(ranks: pd.DataFrame) -> int:
    """Rows of a setting: the lines of the longer side, its bars, and the critical difference."""
    texts = _texts(ranks)
    n_left = _n_left(texts)
    lines = [text.count("\n") + 1 for text in texts]
    n_bars = len(cliques(ranks["rank"].tolist(), _critical(ranks)))
    return max(sum(lines[:n_left]), sum(lines[n_left:])) + n_bars + 4


def _draw_setting(axes: Axes, name: str, ranks: pd.DataFrame, colours: dict[str, object]) -> None:
    """Draw the ranks of one setting, what ``rankings.average_ranks`` makes of its records."""
    joined = cliques(ranks["rank"].tolist(), _critical(ranks))
    n_rows = _n_rows(ranks)
    _draw_axis(axes, len(ranks), n_rows)
    _draw_bars(axes, joined)
    _draw_methods(axes, ranks, colours, first_row=len(joined) + 1)
    _draw_critical_difference(axes, _critical(ranks), n_rows)
    n_blocks = int(max(ranks["n"], default=0))
    title = f"mean ranks on {name}, {n_blocks} pairs of omega and seed; 1 is best"
    axes.set_title(wrapped(title, CHARACTERS_PER_INCH * WIDTH))


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
    ticks = range(1, n_methods + 1, max(1, n_methods // 10))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks([])
    axes.grid(False)
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _draw_bars(axes: Axes, joined: list[tuple[float, float]]) -> None:
    for row, (first, last) in enumerate(joined, start=1):
        axes.plot([first - 0.03, last + 0.03], [row, row], color="0.2", linewidth=2.5)


def _draw_methods(
    axes: Axes, ranks: pd.DataFrame, colours: dict[str, object], first_row: int
) -> None:
    """The better half is named at the left, the best on top; the others at the right, upwards."""
    texts = _texts(ranks)
    n_left = _n_left(texts)
    names = list(zip(ranks["label"], ranks["rank"], texts, strict=True))
    for at_left, side in ((True, names[:n_left]), (False, names[: n_left - 1 : -1])):
        row = float(first_row)
        for label, rank, text in side:
            n_lines = text.count("\n") + 1
            _draw_method(axes, rank, text, row + n_lines / 2, at_left, colours[label])
            row += n_lines


def _draw_method(
    axes: Axes, rank: float, text: str, row: float, at_left: bool, colour: object
) -> None:
    """A line from the axis down to the method's row, and out to its name."""
    left, right = axes.get_xlim()
    edge = left if at_left else right
    outwards = -1 if at_left else 1
    axes.plot([rank, rank, edge], [0, row, row], color=colour, linewidth=0.8)
    for content, distance in ((f"{rank:.1f}", 3), (text, 26)):
        axes.annotate(
            content,
            (edge, row),
            xytext=(outwards * distance, 0),
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
