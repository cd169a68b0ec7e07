"""Figures of the generators' budget: accuracy and images against FLOP, both on a logarithmic axis.

The points of a grid of one setting are a curve. A method without a grid is a horizontal band: its
mean over seeds ± 1 sd, with a marker at its own FLOP.
"""

import math

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.cost import tick_text
from benchmarks.reporting.figures.panels import panel_title, rows_by_panel
from benchmarks.reporting.figures.style import (
    BARS,
    LARGE_PANEL,
    LOOK,
    PANEL,
    Style,
    changed,
    finish,
    line_handle,
    method_styles,
    new_panels,
)
from benchmarks.reporting.frames import grouped, groups, has_values, mean_of
from benchmarks.reporting.names import method_order, omega_names, seeds_and_spread

X_LABEL = "TFLOP, all clients (log scale)"

IMAGES = {
    "fid_domain": "FID (domain)",
    "is_domain": "Inception Score (domain)",
    "kid_domain": "KID (domain)",
    "duplicate_ratio": "near-duplicates",
    "classes_covered": "classes covered",
    "worst_client_coverage": "coverage of the worst client",
}
"""What is drawn of the generated images, and what its panels are called."""

LOGARITHMIC = ("fid_domain",)
"""Those with a logarithmic axis."""

FLOORS = {"fid_domain": "fid_domain_floor", "is_domain": "is_domain_real"}
"""What real images score, as a line."""


def with_lines(records: pd.DataFrame) -> pd.DataFrame:
    """The last rounds with the column ``line``: the grid of a point, or the label."""
    last = comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    grids = last["grid"].fillna("") if "grid" in last else ""
    last = last.assign(line=grids)
    return last.assign(line=last["line"].where(last["line"] != "", last["label"]))


def line_styles(records: pd.DataFrame, last: pd.DataFrame) -> dict[str, Style]:
    """The look of each line: that of the first of its labels, in the order of the tables."""
    of_label = method_styles(records)
    styles: dict[str, Style] = {}
    for label in method_order(last):
        line = last.loc[last["label"] == label, "line"].iloc[0]
        styles.setdefault(line, of_label[label])
    return styles


def accuracy_vs_flop(records: pd.DataFrame) -> Figure | None:
    """Accuracy against FLOP, a panel per group; None if no cell finished.

    Dotted: test accuracy of the server's teacher, where it has one.
    """
    last = with_lines(records)
    if last.empty:
        return None
    styles = line_styles(records, last)
    panel_rows = rows_by_panel(last, comparison.GROUP, records)
    with matplotlib.rc_context(LOOK):
        titles = [title for title, _ in panel_rows]
        across = min(3, len(titles))
        figure, panels = new_panels(
            titles, LARGE_PANEL, X_LABEL, "accuracy (per cent)", across, share=True
        )
        for (_, rows), axes in zip(panel_rows, panels, strict=True):
            for line, style in styles.items():
                _draw_line(axes, rows.loc[rows["line"] == line], style)
            _log_axis(axes)
        handles = [line_handle(line, style) for line, style in styles.items()]
        seeds = seeds_and_spread(comparison.summarise(records)["n"])
        title = f"Accuracy against FLOP, {seeds}; dotted: the teacher; bands: one budget only"
        finish(figure, title, handles)
        return figure


def images_vs_flop(records: pd.DataFrame) -> Figure | None:
    """The scores of generated images against FLOP, a panel per score and group; None without any.

    Of methods with the same images the first one is drawn.
    """
    last = with_lines(records)
    chained = last.loc[last["line"] != last["label"]]
    if not has_values(chained, "fid_domain"):
        return None
    chained = chained.dropna(subset=["fid_domain"])
    styles = with_other_images(chained, line_styles(records, chained))
    scores = [score for score in IMAGES if has_values(chained, score)]
    names = omega_names(records)
    by_group = list(groups(chained, comparison.GROUP))
    titles = []
    for score in scores:
        for (dataset, n_clients, widths, omega), _ in by_group:
            place = panel_title(dataset, n_clients, widths, [names[omega]])
            titles.append(f"{IMAGES[score]}\n{place}")

    with matplotlib.rc_context(LOOK):
        across = min(4, len(by_group)) if len(by_group) > 1 else 3
        figure, panels = new_panels(titles, PANEL, X_LABEL, "score", across)
        places = iter(panels)
        for score in scores:
            for _, rows in by_group:
                axes = next(places)
                for line, style in styles.items():
                    curve = means_by_flop(rows.loc[rows["line"] == line], score)
                    axes.errorbar(curve["tflop"], curve["mean"], curve["sd"], **BARS, **style)
                if score in FLOORS:
                    axes.axhline(mean_of(rows, FLOORS[score]), lw=0.9, color="0.4", ls=":")
                if score in LOGARITHMIC:
                    axes.set_yscale("log")
                    axes.yaxis.set_major_formatter(tick_text)
                    axes.yaxis.set_minor_formatter(NullFormatter())
                _log_axis(axes)
        handles = [line_handle(line, style) for line, style in styles.items()]
        finish(figure, "Generated images against FLOP; dotted: real images", handles)
        return figure


def with_other_images(chained: pd.DataFrame, styles: dict[str, Style]) -> dict[str, Style]:
    """The lines whose images are not those of an earlier line, as their FIDs tell."""
    seen = set()
    different = {}
    for line, style in styles.items():
        fids = tuple(sorted(chained.loc[chained["line"] == line, "fid_domain"]))
        if fids not in seen:
            different[line] = style
        seen.add(fids)
    return different


def means_by_flop(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The means over seeds of each label's column, by its TFLOP: ``tflop``, ``mean``, ``sd``.

    The sd is 0 for one seed.
    """
    known = rows.dropna(subset=[column])
    table = pd.DataFrame(
        {
            "tflop": grouped(known, "label", "flops", "mean") / 1e12,
            "mean": grouped(known, "label", column, "mean"),
            "sd": grouped(known, "label", column, "std").fillna(0.0),
        }
    )
    return table.sort_values("tflop")


def _draw_line(axes: Axes, rows: pd.DataFrame, style: Style) -> None:
    """Draw one line of a panel of accuracies: a curve, or a band."""
    if rows.empty:
        return
    curve = means_by_flop(rows, "accuracy")
    if len(set(rows["label"])) > 1 or rows["line"].iloc[0] != rows["label"].iloc[0]:
        axes.errorbar(curve["tflop"], 100 * curve["mean"], 100 * curve["sd"], **BARS, **style)
        if has_values(rows, "accuracy_teacher"):
            teacher = means_by_flop(rows, "accuracy_teacher")
            look = changed(style, linestyle=":", marker="")
            axes.plot(teacher["tflop"], 100 * teacher["mean"], **look)
        return

    tflop, mean, sd = (float(curve[name].iloc[0]) for name in ("tflop", "mean", "sd"))
    low, high = 100 * (mean - sd), 100 * (mean + sd)
    axes.axhspan(low, high, color=style["color"], alpha=0.12, lw=0)
    axes.axhline(100 * mean, lw=0.8, color=style["color"], ls=style["linestyle"])
    if tflop > 0 and math.isfinite(tflop):
        axes.plot([tflop], [100 * mean], **changed(style, linestyle=""))


def _log_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    few = high < 100 * low
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=6))
    axes.xaxis.set_major_formatter(tick_text)
    axes.xaxis.set_minor_formatter(NullFormatter())
