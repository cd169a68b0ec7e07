"""Figures of accuracy: against omega, and by round."""

import math
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.cost import curve_of
from benchmarks.reporting.frames import groups, of_label
from benchmarks.reporting.page.charts import (
    ACCURACY,
    Chart,
    Spec,
    chart,
    layered,
    look,
    named,
    opacity,
    quantity,
    tips,
)
from benchmarks.reporting.page.context import Context


def against_omega(context: Context) -> list[Chart]:
    """Accuracy in the last round with 95 % intervals, a figure per setting."""
    context = context.in_figures
    charts = []
    for setting, _ in context.settings:
        summary = comparison.of_setting(context.summary, setting)
        rows = summary.loc[summary["n"] > 0]
        if not len(rows):
            continue
        spec = _omega_spec(context, rows)
        text = f"Accuracy against omega of {rows['label'].nunique()} methods; the numbers are in "
        charts.append(chart(context, "Accuracy", f"{text}the table above.", setting, spec))
    return charts


def _omega_spec(context: Context, rows: pd.DataFrame) -> Spec:
    omegas = sorted(rows["omega"].unique())
    texts = [context.omegas[omega] for omega in omegas]
    labels = [label for label in context.methods if label in set(rows["label"])]
    # Methods are moved a little sideways, so that intervals do not hide one another.
    shifts = dict(zip(labels, np.linspace(-0.22, 0.22, len(labels)), strict=True))
    best = rows.loc[~rows["label"].isin([m.label for m in context.methods.values() if m.frame])]
    leaders = set(best.loc[best.groupby("omega")["accuracy"].idxmax(), "label"])

    values = []
    for row in rows.to_dict("records"):
        label = row["label"]
        value = named(context, label) | _interval(row)
        value |= {"omega": context.omegas[row["omega"]], "n": row["n"]}
        value["x"] = omegas.index(row["omega"]) + shifts[label]
        if label in leaders:
            value["weight"] = 1
        value["bar"] = 0.8 if value["weight"] == 1 else 0.12
        values.append(value)

    looks = look(context, labels)
    x = quantity("x", "concentration ω")
    x["scale"] = {"domain": [-0.4, len(omegas) - 0.6], "nice": False, "zero": False}
    x["axis"] = {
        "values": list(range(len(omegas))),
        "labelExpr": f"{texts}[datum.value]",
        "grid": False,
    }
    # Intervals of two seeds may span more than all possible accuracies; they are cut at the edges.
    lowest = min(value["y"] for value in values)
    y = quantity("y", ACCURACY)
    y["scale"] = {"domain": [max(0, 10 * math.floor(lowest / 10) - 10), 100], "nice": False}
    shown = tips(
        ("method", "method", ""),
        ("omega", "ω", ""),
        ("y", "accuracy", ".1f"),
        ("low", "95 % from", ".1f"),
        ("high", "to", ".1f"),
        ("n", "seeds", "d"),
    )
    common = {"x": x, "color": looks["color"], "opacity": opacity()}
    line = {"mark": "line", "encoding": {**common, "y": y, "strokeDash": looks["strokeDash"]}}
    bars = {
        "mark": {"type": "rule", "clip": True},
        "encoding": {
            **common,
            "y": {**y, "field": "low"},
            "y2": {"field": "high"},
            "opacity": {**opacity(), "field": "bar"},
        },
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 55},
        "encoding": {**common, "y": y, "shape": looks["shape"], "tooltip": shown},
    }
    return layered(context, values, [line, bars, points], 330, hover=2)


def _interval(row: dict[Any, Any]) -> Spec:
    """Mean and interval in per cent; without an interval its ends are the mean."""
    y = 100 * row["accuracy"]
    half = 100 * row["accuracy_ci"]
    half = half if math.isfinite(half) else 0.0
    return {"y": y, "low": y - half, "high": y + half}


def curves(context: Context) -> list[Chart]:
    """Accuracy by round, a figure per group in which a method was scored more than once."""
    context = context.in_figures
    charts = []
    for group, rows in groups(context.done, comparison.GROUP):
        values = []
        labels = []
        for label in context.methods:
            curve = curve_of(of_label(rows, label), "round")
            if len(curve) == 0:
                continue
            labels.append(label)
            scored_once = len(curve) == 1
            for point in curve.to_dict("records"):
                values.append(named(context, label) | point | {"once": scored_once})
        if all(value["once"] for value in values):
            continue
        text = f"Accuracy by round of {len(labels)} methods, means over seeds."
        charts.append(
            chart(context, "Accuracy by round", text, group, _curve_spec(context, values, labels))
        )
    return charts


def _curve_spec(context: Context, values: list[Spec], labels: list[str]) -> Spec:
    looks = look(context, labels)
    x = quantity("x", "round", axis={"tickMinStep": 1, "grid": False})
    y = quantity("y", ACCURACY)
    shown = tips(("method", "method", ""), ("x", "round", "d"), ("y", "accuracy", ".1f"))
    common = {"x": x, "y": y, "color": looks["color"], "opacity": opacity()}
    line = {"mark": "line", "encoding": {**common, "strokeDash": looks["strokeDash"]}}
    points = {
        "mark": {"type": "point", "filled": True, "size": 40},
        "encoding": {**common, "shape": looks["shape"], "tooltip": shown},
    }
    return layered(context, values, [line, points], 260, hover=1)
