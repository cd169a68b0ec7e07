"""Figures of accuracies with one panel per group of records."""

from collections.abc import Callable, Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.look import LOOK
from benchmarks.reporting.figures.style import (
    ACROSS,
    LARGE_PANEL,
    MANY,
    PANEL,
    Style,
    finish,
    line_handle,
    method_styles,
    new_panels,
)
from benchmarks.reporting.frames import groups
from benchmarks.reporting.names import omega_names, seeds_and_spread, widths_name


def figure_of_panels(
    records: pd.DataFrame,
    rows: pd.DataFrame,
    by: list[str],
    draw: Callable[[Axes, pd.DataFrame, dict[str, Style]], None],
    title: str,
    x_label: str,
) -> Figure | None:
    """A figure of accuracies in per cent, with one panel per group and the legend below.

    Args:
        records: all records; also a method without any row to draw keeps its colour.
        rows: the rows to draw.
        by: the columns whose values make a group.
        draw: draws the rows of one group into its panel, with the look of each method.
        title: the title, before the number of seeds.
        x_label: the label of the lower axis.

    Returns:
        The figure; None if there is no row to draw.
    """
    panel_rows = rows_by_panel(rows, by, records)
    if not panel_rows:
        return None
    styles = method_styles(records)

    across = ACROSS
    n_omegas = len(set(rows["omega"]))
    if by == comparison.GROUP and n_omegas <= 4:
        across = n_omegas  # one row of panels per setting

    with matplotlib.rc_context(LOOK):
        size = PANEL if len(styles) <= MANY else LARGE_PANEL
        figure, panels = new_panels(
            [title for title, _ in panel_rows],
            size,
            x_label,
            "accuracy (per cent)",
            across,
            share=True,
        )
        for (_, members), axes in zip(panel_rows, panels, strict=True):
            draw(axes, members, styles)

        drawn = set(rows["label"])
        handles = [line_handle(label, styles[label]) for label in styles if label in drawn]
        seeds = seeds_and_spread(comparison.summarise(records)["n"])
        finish(figure, f"{title}, {seeds}", handles)
        return figure


def rows_by_panel(
    rows: pd.DataFrame, by: list[str], records: pd.DataFrame
) -> list[tuple[str, pd.DataFrame]]:
    """The title of each panel and its rows; two panels may have the same title.

    Args:
        rows: the rows to draw.
        by: ``comparison.SETTING`` or ``comparison.GROUP``.
        records: all records, which say how an omega is called.
    """
    names = omega_names(records)
    panels = []
    for values, members in groups(rows, by):
        dataset, n_clients, widths, *omegas = values
        title = panel_title(dataset, n_clients, widths, [names[omega] for omega in omegas])
        panels.append((title, members))
    return panels


def panel_title(dataset: str, n_clients: int, widths: str, more: Sequence[str] = ()) -> str:
    """A group in words on two short lines.

    For example "fashion-mnist, 10 clients" over "mixed widths, ω 0.1".
    """
    below = ", ".join([widths_name(widths), *more])
    return f"{dataset}, {n_clients} clients\n{below}"
