"""Figures of accuracy: against omega, by method, by round."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from benchmarks.planning.methods import CEILING, FLOOR
from benchmarks.reporting import comparison
from benchmarks.reporting.figures.cost import curve_of
from benchmarks.reporting.figures.look import LOOK
from benchmarks.reporting.figures.panels import figure_of_panels, rows_by_panel
from benchmarks.reporting.figures.style import (
    ACROSS,
    BARS,
    MANY,
    Style,
    changed,
    finish,
    line_handle,
    method_styles,
    new_panels,
)
from benchmarks.reporting.figures.text import places_of_rows, tick_texts
from benchmarks.reporting.frames import grouped, has_values, of_label, with_status
from benchmarks.reporting.names import is_frame, omega_values, seeds_and_spread

LEVEL_TICKS = 5
"""More omegas than this are written upright, so that they do not hide one another."""


def accuracy_vs_omega(records: pd.DataFrame) -> Figure | None:
    """Accuracy in the last round against omega, or by method where there are many methods."""
    summary = comparison.summarise(records)
    finished = summary.loc[summary["n"] > 0]
    if len(set(summary["label"])) > MANY:
        return accuracies_figure(records, finished)

    texts = omega_values(records)

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, Style]) -> None:
        _draw_against_omega(axes, rows.assign(place=_places(rows.loc[:, "omega"])), styles, texts)

    return figure_of_panels(
        records,
        finished,
        comparison.SETTING,
        draw,
        "Accuracy in the last round",
        "concentration ω (log scale)",
    )


def _places(omegas: pd.Series) -> pd.Series:
    """Where omegas are on a log axis: infinity is a factor of 10 above the largest other one."""
    finite = omegas.loc[np.isfinite(omegas)]
    return omegas.replace(math.inf, 10 * finite.max() if len(finite) else 1.0)


def _draw_against_omega(
    axes: Axes, rows: pd.DataFrame, styles: dict[str, Style], texts: dict[float, str]
) -> None:
    """Draw one panel.

    Args:
        axes: the panel.
        rows: the rows of the summary, with the place of each omega on the axis.
        styles: the look of each method.
        texts: the text of each omega.
    """
    labels = set(rows["label"])
    present = [label for label in styles if label in labels]

    # Methods are moved a little sideways, so that bars do not hide one another.
    places = np.linspace(-0.5, 0.5, len(present))
    for place, label in zip(places, present, strict=True):
        of_method = of_label(rows, label)
        bars = None
        if has_values(of_method, "accuracy_sd"):
            bars = 100 * of_method["accuracy_sd"]
        x = of_method["place"] * 1.35**place
        axes.errorbar(x, 100 * of_method["accuracy"], bars, **BARS, **styles[label])

    omega_of = dict(zip(rows["place"], rows["omega"], strict=True))
    ticks = sorted(omega_of)
    axes.set(xscale="log", xlim=(ticks[0] / 1.6, ticks[-1] * 1.6))
    axes.set_xticks(ticks, [texts[omega_of[tick]] for tick in ticks])
    if len(ticks) > LEVEL_TICKS:
        axes.tick_params("x", rotation=90)
    axes.xaxis.set_minor_locator(NullLocator())


def accuracies_figure(records: pd.DataFrame, summary: pd.DataFrame) -> Figure | None:
    """A panel per group and a line per method, with its accuracy as a point.

    Args:
        records: all records, from which the methods get their colours.
        summary: the rows of ``comparison.summarise`` to draw; floor and ceiling are drawn as
            upright lines.
    """
    panel_rows = rows_by_panel(summary, comparison.GROUP, records)
    if not panel_rows:
        return None

    styles = method_styles(records)
    labels = [label for label in styles if not is_frame(label)]
    across = min(ACROSS, len(set(summary["omega"])))
    texts = tick_texts(labels)
    rows_down, height = places_of_rows(texts, lines_per_row=1)
    size = (1.8, 0.15 * height)

    with matplotlib.rc_context(LOOK):
        titles = [title for title, _ in panel_rows]
        figure, panels = new_panels(titles, size, "accuracy (per cent)", "", across)
        for i, ((_, rows), axes) in enumerate(zip(panel_rows, panels, strict=True)):
            _draw_accuracies(axes, rows, dict(zip(labels, rows_down, strict=True)), styles)
            axes.set_yticks(rows_down)
            axes.set_yticklabels(texts if i % across == 0 else [])
            axes.set_ylim(height - 0.4, -0.6)
            axes.xaxis.set_major_locator(MaxNLocator(5))

        handles = []
        for label in (FLOOR, CEILING):
            if label in styles:
                handles.append(line_handle(label, changed(styles[label], marker="")))
        seeds = seeds_and_spread(comparison.summarise(records)["n"])
        finish(figure, f"Accuracy in the last round, {seeds}", handles)
        return figure


def _draw_accuracies(
    axes: Axes, rows: pd.DataFrame, places: dict[str, float], styles: dict[str, Style]
) -> None:
    """Draw one panel: the methods at their places, and the floor and ceiling upright."""
    accuracies = {row["label"]: row for row in rows.to_dict("records")}
    for label, y in places.items():
        if label not in accuracies:
            continue
        mean = 100 * accuracies[label]["accuracy"]
        sd = 100 * accuracies[label]["accuracy_sd"]
        bars = None if math.isnan(sd) else [sd]
        axes.errorbar([mean], [y], xerr=bars, **BARS, **changed(styles[label], linestyle=""))

    for label in (FLOOR, CEILING):
        if label in accuracies:
            axes.axvline(
                100 * accuracies[label]["accuracy"],
                color=styles[label]["color"],
                ls=styles[label]["linestyle"],
                lw=0.9,
            )


def learning_curves(records: pd.DataFrame) -> Figure | None:
    """Accuracy by round; None if no cell was scored more than once."""
    done = with_status(records, "done")
    if not (grouped(done, "cell", "round", "nunique") > 1).any():
        return None
    return figure_of_panels(
        records,
        done,
        comparison.GROUP,
        _draw_curves,
        "Accuracy by round (marker on a faint line: scored once)",
        "round",
    )


def _draw_curves(axes: Axes, rows: pd.DataFrame, styles: dict[str, Style]) -> None:
    for label, style in styles.items():
        curve = curve_of(of_label(rows, label), "round")
        color = style["color"]
        if len(curve) > 1:
            axes.plot(curve["x"], curve["y"], **changed(style, marker=""))
            axes.fill_between(
                curve["x"], curve["low"], curve["high"], color=color, alpha=0.15, lw=0
            )
        elif len(curve) == 1:
            # Scored once: a faint line at its level, to be compared with the curves.
            level = curve["y"].iloc[0]
            axes.axhline(level, lw=0.6, alpha=0.6, color=color, ls=style["linestyle"])

        end = curve.iloc[-1:]
        axes.plot(end["x"], end["y"], zorder=3, **changed(style, linestyle=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
