"""The figure of growing numbers of clients: accuracy, bytes, seconds and memory against them."""

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.cost import tick_text
from benchmarks.reporting.figures.style import (
    BARS,
    LARGE_PANEL,
    LOOK,
    Style,
    finish,
    line_handle,
    method_styles,
    new_panels,
)
from benchmarks.reporting.frames import grouped, groups, has_values, of_label
from benchmarks.reporting.names import omega_names, seeds_and_spread, widths_name
from benchmarks.reporting.pages.growth import with_costs

PANELS = {
    "accuracy": ("accuracy (per cent)", 0.01),
    "sent": ("MB up and down, all clients", 1e6),
    "total_s": ("seconds, all clients", 1.0),
    "peak_memory_bytes": ("peak memory (MB)", 1e6),
}
"""What is drawn: the title of its panel, and the divisor of its values."""

LOGARITHMIC = ("sent", "total_s")
"""Those with a logarithmic axis."""


def growth_figure(records: pd.DataFrame) -> Figure | None:
    """A panel per quantity, data set, widths and omega; None for one number of clients."""
    last = with_costs(records)
    if len(set(last["n_clients"])) < 2:
        return None
    last = last.assign(sent=last["upload_bytes"] + last["download_bytes"])
    names = omega_names(records)
    styles = method_styles(records)
    shown = {column: panel for column, panel in PANELS.items() if has_values(last, column)}
    by_place = list(groups(last, ["dataset", "widths", "omega"]))
    titles = []
    for (dataset, widths, omega), _ in by_place:
        place = f"{dataset}, {widths_name(widths)}, {names[omega]}"
        titles += [f"{title}\n{place}" for title, _ in shown.values()]

    with matplotlib.rc_context(LOOK):
        figure, panels = new_panels(titles, LARGE_PANEL, "clients (log scale)", "", across=2)
        places = iter(panels)
        for _, rows in by_place:
            for column, (_, unit) in shown.items():
                _draw(next(places), rows, column, unit, styles)
        drawn = set(last["label"])
        handles = [line_handle(label, styles[label]) for label in styles if label in drawn]
        seeds = seeds_and_spread(comparison.summarise(records)["n"])
        finish(figure, f"Growing numbers of clients, {seeds}", handles)
        return figure


def _draw(
    axes: Axes, rows: pd.DataFrame, column: str, unit: float, styles: dict[str, Style]
) -> None:
    for label, style in styles.items():
        known = of_label(rows, label).dropna(subset=[column])
        means = grouped(known, "n_clients", column, "mean") / unit
        if len(means):
            spreads = grouped(known, "n_clients", column, "std").fillna(0.0) / unit
            axes.errorbar(means.index, means, spreads, **BARS, **style)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(rows["n_clients"].unique())))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    if column in LOGARITHMIC and any(rows[column] > 0):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(tick_text)
        axes.yaxis.set_minor_formatter(NullFormatter())
