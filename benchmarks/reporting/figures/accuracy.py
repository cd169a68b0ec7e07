"""Figures of accuracy: against omega, by method, by round."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from benchmarks.reporting import comparison as st
from benchmarks.reporting.figures.cost import _curve
from benchmarks.reporting.figures.style import (
    ACROSS,
    BARS,
    LOOK,
    MANY,
    figure_of_panels,
    finish,
    method_styles,
    new_panels,
    panel_title,
)

LOOK |= dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8) | {
    "figure.titlesize": 9
}

LOOK |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7)

LOOK |= {"font.family": "DejaVu Sans"}  # ships with matplotlib: the same glyphs on every machine

LOOK |= {"axes.linewidth": 0.6, "axes.grid": True, "grid.color": "0.9", "grid.linewidth": 0.5}

LOOK |= {
    "lines.linewidth": 1.2,
    "lines.markersize": 4.2,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 200,
}

LOOK |= {
    "svg.hashsalt": "mosaic-bench"
}  # with no date in the metadata: the same bytes for the same figure


def accuracy_vs_omega(records: pd.DataFrame) -> Figure | None:
    summary = st.summarise(records)
    if summary["method"].nunique() > MANY:
        return accuracies_figure(records, summary[summary["n"] > 0])
    summary = summary[
        (summary["n"] > 0) & np.isfinite(summary["omega"])
    ]  # a log axis has no place for infinity

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
        present = [method for method in styles if method in set(rows["method"])]
        for place, method in zip(np.linspace(-0.5, 0.5, len(present)), present, strict=True):
            mine = rows[rows["method"] == method]
            bars = 100 * mine["accuracy_sd"] if mine["accuracy_sd"].notna().any() else None
            # Side by side, so that bars do not hide one another.
            axes.errorbar(
                mine["omega"] * 1.35**place, 100 * mine["accuracy"], bars, **BARS, **styles[method]
            )
        omegas = sorted(rows["omega"].unique())
        axes.set(xscale="log", xlim=(omegas[0] / 1.6, omegas[-1] * 1.6))
        axes.set_xticks(omegas, [f"{omega:g}" for omega in omegas])
        axes.xaxis.set_minor_locator(NullLocator())

    return figure_of_panels(
        records,
        summary,
        st.SETTING,
        draw,
        "Accuracy in the last round",
        "concentration ω (log scale)",
    )


def accuracies_figure(records: pd.DataFrame, summary: pd.DataFrame) -> Figure | None:
    """A panel for each group, a line for each method: its accuracy as a point, floor and ceiling as upright lines."""
    groups = {
        panel_title(group): rows.set_index("method") for group, rows in summary.groupby(st.GROUP)
    }
    if not groups:
        return None
    styles = method_styles(records)
    methods = [method for method in styles if method not in (st.FLOOR, st.CEILING)]
    across = min(ACROSS, summary["omega"].nunique())
    with matplotlib.rc_context(LOOK):
        figure, panels = new_panels(
            list(groups), (1.8, 0.15 * len(methods)), "accuracy (per cent)", "", across
        )
        for i, (rows, axes) in enumerate(zip(groups.values(), panels, strict=True)):
            for y, method in enumerate(methods):
                if method in rows.index:
                    mean, sd = 100 * rows.loc[method, ["accuracy", "accuracy_sd"]]
                    bar = None if math.isnan(sd) else [sd]
                    axes.errorbar(
                        [mean], [y], xerr=bar, **BARS, **styles[method] | {"linestyle": ""}
                    )
            for frame in {st.FLOOR, st.CEILING} & set(rows.index):
                look = {
                    "color": styles[frame]["color"],
                    "ls": styles[frame]["linestyle"],
                    "lw": 0.9,
                }
                axes.axvline(100 * rows.loc[frame, "accuracy"], **look)
            axes.set(yticks=range(len(methods)), ylim=(len(methods) - 0.4, -0.6))
            axes.set_yticklabels(methods if i % across == 0 else [])
            axes.xaxis.set_major_locator(MaxNLocator(5))
        seeds = st.seeds_name(st.summarise(records)["n"])
        frames = [m for m in (st.FLOOR, st.CEILING) if m in styles]
        handles = [Line2D([], [], label=m, **styles[m] | {"marker": ""}) for m in frames]
        finish(
            figure,
            f"Accuracy in the last round, {seeds}" + ", ± 1 sd" * (seeds != "n = 1 seed"),
            handles,
        )
        return figure


def learning_curves(records: pd.DataFrame) -> Figure | None:
    done = records[records["status"] == "done"]
    if not (done.groupby("cell")["round"].nunique() > 1).any():
        return None

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
        for method, look in styles.items():
            curve = _curve(rows[rows["method"] == method], "round")
            if len(curve) > 1:
                axes.plot(curve["x"], curve["y"], **look | {"marker": ""})
                axes.fill_between(
                    curve["x"], curve["low"], curve["high"], color=look["color"], alpha=0.15, lw=0
                )
            elif len(
                curve
            ):  # one shot: its level goes on as a faint line, to be compared with the curves
                axes.axhline(
                    curve["y"].iloc[0], lw=0.6, alpha=0.6, color=look["color"], ls=look["linestyle"]
                )
            axes.plot(curve["x"][-1:], curve["y"][-1:], zorder=3, **look | {"linestyle": ""})
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    return figure_of_panels(
        records,
        done,
        st.GROUP,
        draw,
        "Accuracy by round (marker on a faint line: scored once)",
        "round",
    )
