"""Figures of accuracy against bytes and FLOP, with the Pareto front."""

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups
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

COSTS = {
    "bytes": (("upload_bytes", "download_bytes"), 1e6, "upload + download, all clients (MB, log)"),
    "FLOP": (("flops",), 1e12, "training FLOP (TFLOP, log)"),
}
"""What accuracy is shown against: (columns, unit, title of the axis)."""


FRONT: Spec = {"strokeDash": [3, 3], "color": "#888"}
"""The look of the Pareto front."""


def against_cost(context: Context, what: str) -> list[Chart]:
    """Accuracy in the last round against a cost, a figure per group.

    Floor and ceiling are left out: they are no choice. Methods without the cost have no place on a
    log axis; the figure's summary names them.

    Args:
        context: the records.
        what: a name in COSTS.
    """
    context = context.in_figures
    columns, unit, title = COSTS[what]
    summary = comparison.competitors(context.summary.loc[context.summary["n"] > 0])
    cost = summary.reindex(columns=list(columns)).sum(axis=1, min_count=1) / unit
    summary = summary.assign(cost=cost)
    charts = []
    for group, rows in groups(summary, comparison.GROUP):
        shown = rows.loc[rows["cost"] > 0]
        if not len(shown):
            continue
        text = f"Accuracy against {what} of {len(shown)} methods. "
        absent = rows.loc[~rows.index.isin(shown.index), "label"]
        without = [context.methods[label].name for label in absent]
        if without:
            text += f"Not drawn, since it has none: {', '.join(without)}. "
        front = pareto(shown)
        on_front = shown.loc[front].sort_values("cost")["label"]
        names = [f"{i} {context.methods[label].name}" for i, label in enumerate(on_front, 1)]
        text += f"On the front (nothing is both cheaper and better): {', '.join(names)}."
        spec = _spec(context, shown, front, title)
        charts.append(chart(context, f"Accuracy against {what}", text, group, spec))
    return charts


def pareto(rows: pd.DataFrame) -> pd.Series:
    """Which competitors no other competitor beats in both cost and accuracy.

    Args:
        rows: one per method, with ``cost`` and ``accuracy``.
    """
    on_front = pd.Series(False, index=rows.index)
    best = float("-inf")
    competing = comparison.competitors(rows)
    cheapest_first = competing.sort_values(["cost", "accuracy"], ascending=[True, False])
    for index, accuracy in zip(cheapest_first.index, cheapest_first["accuracy"], strict=True):
        if accuracy > best:
            on_front.loc[index] = True
            best = accuracy
    return on_front


def _spec(context: Context, rows: pd.DataFrame, front: pd.Series, title: str) -> Spec:
    values = []
    n_on_front = 0
    for row in rows.assign(front=front).sort_values("cost").to_dict("records"):
        on_front = row["front"]
        value = named(context, row["label"])
        value |= {"x": row["cost"], "y": 100 * row["accuracy"], "front": on_front, "name": ""}
        value["weight"] = 1 if on_front else max(value["weight"], 0.65)
        if on_front:
            # names would hide one another: the text below the figure says whose number it is
            n_on_front += 1
            value |= {"name": str(n_on_front), "dy": -12 if n_on_front % 2 else 14}
        elif row["label"] == context.reference:
            value |= {"name": value["method"], "dy": 14}
        values.append(value)

    looks = look(context, list(rows["label"]))
    scale = {"type": "log", "nice": False, "padding": 30}
    x = quantity("x", title, scale=scale, axis={"grid": False, "tickCount": 5, "format": "~r"})
    y = quantity("y", ACCURACY)
    place = {"x": x, "y": y}
    step = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "interpolate": "step-after", **FRONT},
        "encoding": place,
    }
    shown = tips(("method", "method", ""), ("x", "cost", ",.3~r"), ("y", "accuracy", ".1f"))
    points = {
        "mark": {"type": "point", "filled": True, "size": 80},
        "encoding": {
            **place,
            "color": looks["color"],
            "shape": looks["shape"],
            "opacity": opacity(),
            "tooltip": shown,
        },
    }
    names = {
        "mark": {"type": "text", "dy": {"expr": "datum.dy"}, "limit": 110, "fontSize": 11},
        "encoding": {**place, "text": {"field": "name"}},
    }
    return layered(context, values, [step, points, names], 280, hover=1)
