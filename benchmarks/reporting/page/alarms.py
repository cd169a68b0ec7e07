"""Alarms: failed, skipped and missing cells and warnings, by kind, with their cells."""

from typing import Any

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import with_status
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.pages.notes import kinds_of, warning_rows
from benchmarks.texts import one_line, shortened

CELLS = 200
"""Cells that an alarm lists at most; their number is always given."""

LONGEST = 400
"""Characters of a text."""

STATUSES = {"failed": "Failed", "missing": "Missing", "skipped": "Not applicable"}


def alarms(context: Context) -> dict[str, Any]:
    """The kinds of alarms, those with the most cells first within each heading."""
    records = context.records
    found = []
    for status, heading in STATUSES.items():
        found += _kinds(with_status(records, status), "reason", heading, context)
    for column in ("warnings", "notes"):
        if column in records:
            found += _kinds(warning_rows(records, column), column, "Warning", context)
    return {"alarms": found, "unpaired": _unpaired(context)}


def _kinds(rows: pd.DataFrame, column: str, heading: str, context: Context) -> list[dict]:
    rows = rows.loc[rows[column].fillna("").astype(str) != ""]
    if not len(rows):
        return []
    found = []
    for _, alike in rows.groupby(kinds_of(rows.loc[:, column]), sort=False):
        cells = alike.drop_duplicates("cell")
        labels = [label for label in context.methods if label in set(cells["label"])]
        found.append(
            {
                "heading": heading,
                "n": len(cells),
                "several": alike[column].astype(str).nunique() > 1,
                "text": one_line(shortened(str(alike[column].iloc[0]), LONGEST)),
                "methods": [context.methods[label].name for label in labels],
                "cells": [_cell(context, row) for row in cells.head(CELLS).to_dict("records")],
                "more": max(0, len(cells) - CELLS),
            }
        )
    return sorted(found, key=lambda alarm: -alarm["n"])


def _cell(context: Context, row: dict[Any, Any]) -> str:
    setting = context.name_of(tuple(row[name] for name in comparison.SETTING))
    label = context.methods[row["label"]].name
    omega = context.omega_names[row["omega"]]
    return f"{label}, {setting}, {omega}, seed {row['seed']} ({row['cell']})"


def _unpaired(context: Context) -> list[str]:
    """Where methods of one seed ran on different partitions; there should be none."""
    if "partition" not in context.records:
        return []
    places = comparison.unpaired_seeds(context.records)
    return [f"{context.omega_names[omega]}, seed {seed}" for omega, seed in places]
