"""Figures of the tests: the forest of paired differences, and the critical-difference diagram."""

import math

import pandas as pd

from benchmarks.reporting import comparison, rankings
from benchmarks.reporting.frames import groups
from benchmarks.reporting.page.charts import (
    Chart,
    Spec,
    chart,
    layered,
    look,
    named,
    quantity,
    tips,
)
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.significance import ALPHA, critical_difference
from benchmarks.reporting.table import p_value

ROW = 19
"""Pixels of a method's row."""


def forest(context: Context) -> list[Chart]:
    """Paired differences to the reference with 95 % intervals, a figure per group."""
    context = context.in_figures
    charts = []
    reference = context.methods.get(context.reference)
    for group, rows in groups(context.differences, comparison.GROUP):
        rows = rows.loc[rows["n"] > 0]
        if not len(rows) or reference is None:
            continue
        significant = int((rows["p_holm"] < ALPHA).sum())
        text = (
            f"{len(rows)} methods minus {reference.name} in percentage points, paired by seed; "
            f"{significant} significant after Holm's correction (filled)."
        )
        spec = _forest_spec(context, rows, f"method minus {reference.name} (points)")
        charts.append(chart(context, "Paired differences", text, group, spec))
    return charts


def _forest_spec(context: Context, rows: pd.DataFrame, title: str) -> Spec:
    values = []
    for row in rows.sort_values("difference", ascending=False).to_dict("records"):
        x = 100 * row["difference"]
        half = 100 * row["ci"] if math.isfinite(row["ci"]) else 0.0
        value = named(context, row["label"]) | {"x": x, "low": x - half, "high": x + half}
        value |= {"weight": 1, "n": row["n"], "sure": bool(row["p_holm"] < ALPHA)}
        value |= {"p": p_value(row["p"]), "holm": p_value(row["p_holm"])}
        values.append(value)

    x = quantity("x", title, axis={"tickCount": 6})
    shown = tips(
        ("method", "method", ""),
        ("x", "difference", "+.1f"),
        ("low", "95 % from", "+.1f"),
        ("high", "to", "+.1f"),
        ("n", "pairs", "d"),
        ("p", "p", ""),
        ("holm", "p Holm", ""),
    )
    return _dots(context, values, x, shown, zero=True)


def rank_diagram(context: Context) -> list[Chart]:
    """Mean ranks with half of the critical difference to either side, a figure per setting.

    Two intervals that do not meet are of methods whose mean ranks differ at .05 (Nemenyi): Demsar,
    Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006.
    """
    context = context.in_figures
    charts = []
    for setting, rows in context.settings:
        ranks = rankings.average_ranks(rows).dropna(subset=["rank"])
        n_blocks = int(max(ranks["n"], default=0))
        critical = critical_difference(len(ranks), n_blocks)
        if not math.isfinite(critical):
            continue
        values = []
        for row in ranks.to_dict("records"):
            value = named(context, row["label"]) | {"x": row["rank"], "weight": 1, "sure": True}
            value |= {"low": row["rank"] - critical / 2, "high": row["rank"] + critical / 2}
            values.append(value)
        text = (
            f"Mean ranks of {len(ranks)} competitors over {n_blocks} pairs of omega and seed; "
            f"critical difference {critical:.2f}. Bars that do not overlap: the ranks differ."
        )
        step = max(1, len(ranks) // 8)
        x = quantity(
            "x", "mean rank (1 is best)", axis={"values": list(range(1, len(ranks) + 1, step))}
        )
        spec = _dots(context, values, x, tips(("method", "method", ""), ("x", "rank", ".2f")))
        charts.append(chart(context, "Critical differences", text, setting, spec))
    return charts


def _dots(
    context: Context, values: list[Spec], x: Spec, shown: list[Spec], zero: bool = False
) -> Spec:
    """A row per method with a dot and an interval, in the order of the values."""
    looks = look(context, [value["label"] for value in values])
    names = [value["method"] for value in values]
    y = {"field": "method", "type": "nominal", "sort": names, "title": None, "axis": {"grid": True}}
    bars = {
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {
            "y": y,
            "x": {**x, "field": "low"},
            "x2": {"field": "high"},
            "color": looks["color"],
        },
    }
    points = {
        "mark": {"type": "point", "size": 60, "strokeWidth": 2},
        "encoding": {
            "y": y,
            "x": x,
            "color": looks["color"],
            "fillOpacity": {"condition": {"test": "datum.sure", "value": 1}, "value": 0},
            "fill": looks["color"],
            "tooltip": shown,
        },
    }
    layers = [bars, points]
    if zero:
        line = {"mark": {"type": "rule", "color": "#888"}, "encoding": {"x": {"datum": 0}}}
        layers = [line, *layers]
    return layered(context, values, layers, ROW * len(values) + 20, hover=len(layers) - 1)
