"""Figures of accuracy against bytes and FLOP, with the Pareto front."""

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups
from benchmarks.reporting.page.charts import (
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


def against_cost(context: Context, what: str) -> list[Chart]:
    """Accuracy in the last round against a cost, a figure per group.

    Methods without the cost (they send nothing) have no place on a log axis; the figure's summary
    names them.

    Args:
        context: the records.
        what: a name in COSTS.
    """
    context = context.in_figures
    columns, unit, title = COSTS[what]
    summary = context.summary.loc[context.summary["n"] > 0]
    cost = summary.reindex(columns=list(columns)).sum(axis=1, min_count=1) / unit
    summary = summary.assign(cost=cost)
    charts = []
    for group, rows in groups(summary, comparison.GROUP):
        shown = rows.loc[rows["cost"] > 0]
        if not len(shown):
            continue
        text = f"Accuracy against {what} of {len(shown)} methods. "
        without = [
            context.methods[label].name
            for label in rows["label"]
            if label not in set(shown["label"])
        ]
        if without:
            text += f"Not drawn, since it has none: {', '.join(without)}. "
        front = pareto(shown)
        names = [context.methods[label].name for label in shown.loc[front, "label"]]
        text += f"On the front (nothing is both cheaper and better): {', '.join(names)}."
        charts.append(
            chart(
                context,
                f"Accuracy against {what}",
                text,
                group,
                _spec(context, shown, front, title),
            )
        )
    return charts


def pareto(rows: pd.DataFrame) -> pd.Series:
    """Which competitors no other competitor beats in both cost and accuracy.

    Args:
        rows: one per method, with ``cost`` and ``accuracy``.
    """
    on_front = pd.Series(False, index=rows.index)
    best = float("-inf")
    competing = comparison.competitors(rows)
    for index, row in competing.sort_values(
        ["cost", "accuracy"], ascending=[True, False]
    ).iterrows():
        if row["accuracy"] > best:
            on_front.loc[index] = True
            best = row["accuracy"]
    return on_front


def _spec(context: Context, rows: pd.DataFrame, front: pd.Series, title: str) -> Spec:
    values = []
    for (_, row), on_front in zip(rows.iterrows(), front, strict=True):
        value = named(context, row["label"])
        value |= {
            "x": float(row["cost"]),
            "y": 100 * float(row["accuracy"]),
            "front": bool(on_front),
        }
        value["weight"] = 1 if on_front else max(value["weight"], 0.65)
        value["name"] = value["method"] if on_front or row["label"] == context.reference else ""
        values.append(value)

    looks = look(context, list(rows["label"]))
    x = quantity(
        "x", title, scale={"type": "log", "padding": 24}, axis={"grid": False, "tickCount": 4}
    )
    x["axis"]["format"] = "~r"
    y = quantity("y", "accuracy (per cent)")
    place = {"x": x, "y": y}
    step = {
        "transform": [{"filter": "datum.front"}],
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "strokeDash": [3, 3],
            "color": "#888",
        },
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
        "mark": {"type": "text", "dy": -11, "limit": 110, "fontSize": 11},
        "encoding": {**place, "text": {"field": "name"}},
    }
    return layered(context, values, [step, points, names], 280, hover=1)
