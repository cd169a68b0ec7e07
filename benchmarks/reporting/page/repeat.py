"""Where the numbers come from, and how to make any of them again."""

import shlex
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.planning.expand import AXES
from benchmarks.planning.toml_files import toml_of
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups, of_label, values_of
from benchmarks.reporting.names import number
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.sources import FOLDER, Sources, short_names
from benchmarks.texts import one_line

ENVIRONMENT = {
    "version": "version of this package",
    "commit": "commit",
    "device": "device",
    "processor": "processor",
    "kernels": "BatchNorm",
    "precision": "precision",
    "threads": "threads",
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "numpy": "NumPy",
    "python": "Python",
    "scale": "scale",
    "data": "training data",
    "test_data": "test data",
}
"""Columns and their headings."""

CELLS = 2000
"""A list of more cells than this is left out."""

SETTINGS_FILE = "settings.toml"


def provenance(context: Context, sources: Sources) -> dict[str, Any]:
    """What each folder contributed, and the machines and versions that made its cells."""
    names = short_names([str(folder) for folder in sources.folders])
    folders = []
    for folder in sources.folders:
        rows = context.records.loc[context.records[FOLDER] == str(folder)]
        cells = rows.drop_duplicates("cell")
        counts = Counter(cells["status"])
        folders.append(
            {
                "name": one_line(names[str(folder)]),
                "cells": ", ".join(f"{n} {status}" for status, n in counts.items()) or "none",
                "suites": ", ".join(one_line(str(name)) for name in values_of(cells, "suite")),
                "facts": _facts(cells),
            }
        )
    return {"folders": folders, "notes": [one_line(note) for note in sources.notes]}


def _facts(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Each fact with its values and, where there are several, how many cells have each."""
    facts = []
    for column, heading in ENVIRONMENT.items():
        if column not in cells:
            continue
        counts = cells[column].fillna("not stated").astype(str).value_counts()
        values = [one_line(str(value)) or "not stated" for value in counts.index]
        texts = values
        if len(values) > 1:
            texts = [f"{text} ({n} cells)" for text, n in zip(values, counts, strict=True)]
        if values != ["not stated"]:
            facts.append((heading, "; ".join(texts)))
    return facts


def commands(context: Context) -> dict[str, Any]:
    """A settings file per setting and a command per method; and the list of cells."""
    blocks = []
    for setting, rows in context.settings:
        lines = []
        for label, method in context.methods.items():
            of_method = of_label(rows, label)
            if len(of_method):
                lines.append({"name": method.name, "command": command(of_method)})
        name = context.name_of(setting)
        blocks.append({"name": name, "settings": settings_file(rows), "lines": lines})

    cells = context.records.drop_duplicates("cell", keep="last")
    listed = [] if len(cells) > CELLS else [_cell(context, row) for row in cells.to_dict("records")]
    return {"blocks": blocks, "cells": listed, "n_cells": len(cells), "file": SETTINGS_FILE}


def command(rows: pd.DataFrame) -> str:
    """The command that runs these cells of one label and setting again.

    Args:
        rows: with any omegas and seeds; other columns agree.
    """
    row = rows.iloc[0].to_dict()
    label = str(row["label"])
    if "label_given" in row and isinstance(row["label_given"], str):
        label = row["label_given"]
    options = {
        "--suite": row.get("suite"),
        "--scale": row.get("scale"),
        "--methods": label,
        "--datasets": row.get("dataset_given", row["dataset"]),
        "--clients": str(row["n_clients"]),
        "--widths": row["widths"],
        "--omega": ",".join(number(omega) for omega in sorted(rows["omega"].unique())),
        "--seeds": ",".join(str(seed) for seed in sorted(rows["seed"].unique())) + ",",
        "--precision": row.get("precision"),
        "--threads": row.get("threads"),
    }
    texts = ["python -m benchmarks.run"]
    for option, value in options.items():
        if value is None or value != value:
            continue
        text = number(value) if isinstance(value, float) else str(value)
        texts.append(f"{option} {shlex.quote(one_line(text))}")
    return " ".join([*texts, f"--params {SETTINGS_FILE}"])


def settings_file(rows: pd.DataFrame) -> str:
    """All settings of the cells of one setting as TOML: a table for the task and one per label."""
    tables = {"task": _settings(rows, "task.")}
    name = "label_given" if "label_given" in rows else "label"
    for (label,), of_method in groups(rows, [name]):
        tables[one_line(str(label))] = _settings(of_method, "config.")
    return toml_of({name: values for name, values in tables.items() if values})


def _settings(rows: pd.DataFrame, prefix: str) -> dict[str, Any]:
    """The settings that have one value in all rows, by their names."""
    found = {}
    for column in rows.columns:
        key = str(column).removeprefix(prefix)
        if key == column or key in AXES:
            continue
        values = list({str(value): value for value in rows[column].dropna()}.values())
        if len(values) == 1 and values[0] != "file":
            value = values[0]
            found[key] = value.item() if isinstance(value, np.generic) else value
    return found


def _cell(context: Context, row: dict[Any, Any]) -> dict[str, Any]:
    accuracy: Any = row.get("accuracy")
    known = isinstance(accuracy, float) and accuracy == accuracy
    return {
        "key": row["cell"],
        "method": context.methods[row["label"]].name,
        "label": row["label"],
        "dataset": row["dataset"],
        "widths": row["widths"],
        "omega": number(row["omega"]),
        "setting": context.name_of(tuple(row[name] for name in comparison.SETTING)),
        "omega_text": context.omegas[row["omega"]],
        "seed": row["seed"],
        "status": row["status"],
        "accuracy": f"{100 * accuracy:.2f}" if known else "",
    }
