"""The main table: methods by omega with the costs beside, one per setting."""

import math
from typing import Any, NamedTuple, cast

import pandas as pd

from benchmarks.metrics.columns import cost_columns
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups, has_values, of_label
from benchmarks.reporting.names import number
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.pages.accuracy import accuracy_text
from benchmarks.reporting.table import NOTHING, p_value, short, signed

COSTS = ("upload MB", "download MB", "seconds", "CPU s", "TFLOP", "peak MB")
"""Headings of the table of costs that stand beside the accuracies."""


class Findings(NamedTuple):
    """What is known of each accuracy, by data set, clients, widths, omega and label.

    Attributes:
        tests: the paired test against the reference.
        verdicts: whether it is the best, and whether that is significant.
        seeds: its seeds in words.
    """

    tests: dict[tuple, dict]
    verdicts: dict[tuple, dict]
    seeds: dict[tuple, str]


def methods_table(context: Context) -> dict[str, Any]:
    """What the template shows of each setting."""
    found = Findings(
        tests={_key(row): row for row in context.differences.to_dict("records")},
        verdicts={_key(row): row for row in context.verdicts.to_dict("records")},
        seeds=_seeds(context),
    )
    tables = []
    for setting, _ in context.settings:
        summary = comparison.of_setting(context.summary, setting)
        tables.append(_table(context, setting, summary, found))
    return {"tables": tables, "reference": context.reference}


def _key(row: dict[Any, Any]) -> tuple:
    return (*(row[name] for name in comparison.GROUP), row["label"])


def _seeds(context: Context) -> dict[tuple, str]:
    """The seeds of each group and method in words."""
    texts = {}
    for key, rows in groups(context.last, [*comparison.GROUP, "label"]):
        texts[key] = ", ".join(str(seed) for seed in sorted(rows["seed"].unique()))
    return texts


def _table(
    context: Context, setting: tuple, summary: pd.DataFrame, found: Findings
) -> dict[str, Any]:
    omegas = sorted(summary["omega"].unique())
    shown = {}
    for heading, (column, unit) in cost_columns().items():
        if heading in COSTS and has_values(summary, column):
            shown[heading] = (column, unit)

    present = set(summary["label"])
    rows = []
    for label, method in context.methods.items():
        if label not in present:
            continue
        of_method = of_label(summary, label)
        by_omega = {row["omega"]: row for row in of_method.to_dict("records")}
        cells = []
        for omega in omegas:
            key = (*setting, omega, label)
            cells.append(_cell(context, by_omega.get(omega), key, found))
        costs = [_cost(of_method, column, unit) for column, unit in shown.values()]
        rows.append({"method": method, "cells": cells, "costs": costs})

    dataset, _, widths = setting
    return {
        "name": context.name_of(setting),
        "dataset": dataset,
        "widths": widths,
        "omegas": [(number(omega), context.omega_names[omega]) for omega in omegas],
        "costs": list(shown),
        "rows": rows,
    }


def _cell(context: Context, row: dict | None, key: tuple, found: Findings) -> dict[str, Any]:
    """The text of one accuracy, its value for sorting, and what the pointer shows."""
    omega = number(key[3])
    if row is None:
        return {"omega": omega, "text": NOTHING, "value": "", "tip": "no such cell", "bold": False}
    verdict = found.verdicts.get(key)
    worse = bool(verdict and verdict["worse"])
    value = "" if math.isnan(row["accuracy"]) else f"{row['accuracy']:.6f}"
    return {
        "omega": omega,
        "text": accuracy_text(row, worse),
        "value": value,
        "tip": _tip(context, row, key, found),
        "bold": bool(verdict and verdict["bold"]),
    }


def _tip(context: Context, row: dict, key: tuple, found: Findings) -> str:
    """Seeds, n, sd, interval and p of one accuracy."""
    texts = [f"{context.methods[key[4]].name}, n = {row['n']}"]
    if row["n"]:
        texts[0] += f" (seeds {found.seeds.get(key, '')})"
        texts.append(f"mean {100 * row['accuracy']:.2f} %")
    if row["n"] > 1:
        texts.append(f"sd {100 * row['accuracy_sd']:.2f}")
        texts.append(f"95 % interval ± {100 * row['accuracy_ci']:.2f}")
    test = found.tests.get(key)
    if test and test["n"]:
        text = f"minus {test['reference']}: {signed(100 * test['difference'])} points"
        if test["n"] > 1:
            text += f" ± {short(100 * test['ci'])}"
        text += f", p {p_value(test['p'])}, p Holm {p_value(test['p_holm'])}"
        texts.append(text)
    return "; ".join(texts)


def _cost(rows: pd.DataFrame, column: str, unit: float) -> dict[str, str]:
    """The mean over omegas of one cost."""
    value = cast(float, rows[column].mean()) / unit
    return {"text": short(value), "value": "" if math.isnan(value) else f"{value:.6g}"}
