"""Where the numbers come from, and how to make any of them again."""

import shlex
from collections import Counter
from typing import Any

import pandas as pd

from benchmarks.planning.expand import AXES
from benchmarks.planning.toml_files import toml_of
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups, of_label, values_of
from benchmarks.reporting.names import number
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.sources import FOLDER, Sources, short_names
from benchmarks.running.suite_folder import ENDING, budget_of
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

GIVEN = (
    "suite",
    "budget",
    "scale",
    "label_given",
    "dataset_given",
    "grid_settings",
    "precision",
    "threads",
)
"""Columns beside the settings in which the cells of one command agree."""

TASK = "task."
CONFIG = "config."

SETTINGS_FILE = "settings.toml"
SPLIT_FILE = "split.json"


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
    """A settings file and a command for each method of each setting; and the list of cells."""
    blocks = []
    for setting, rows in context.settings:
        lines = []
        for label, method in context.methods.items():
            for cells in alike(of_label(rows, label)):
                line = {"name": method.name, "command": command(cells)}
                lines.append(line | {"settings": settings_file(cells)})
        blocks.append({"name": context.name_of(setting), "lines": lines})

    cells = context.records.drop_duplicates("cell", keep="last")
    listed = [] if len(cells) > CELLS else [_cell(context, row) for row in cells.to_dict("records")]
    return {"blocks": blocks, "cells": listed, "n_cells": len(cells), "file": SETTINGS_FILE}


def alike(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The cells of one label and setting, in groups that one command runs, and nothing else.

    The cells of a group have the same settings, and are all pairs of its omegas and its seeds.

    Args:
        rows: per cell and scored round.

    Returns:
        One row per cell.
    """
    if rows.empty:  # pandas has no key per row then
        return []
    cells = rows.drop_duplicates("cell", keep="last")
    columns = [name for name in map(str, cells.columns) if _is_setting(name) or name in GIVEN]
    values = cells.reindex(columns=columns).astype(object).fillna("").astype(str)
    settings = values.agg("\n".join, axis=1)
    found = []
    for _, same in cells.groupby(settings, sort=False):
        omegas: dict[tuple, list[float]] = {}
        for (omega,), of_omega in groups(same, ["omega"]):
            omegas.setdefault(tuple(sorted(of_omega["seed"])), []).append(omega)
        found += [same.loc[same["omega"].isin(values)] for values in omegas.values()]
    return found


def _is_setting(column: str) -> bool:
    return column.startswith((TASK, CONFIG))


def command(rows: pd.DataFrame) -> str:
    """The command that runs these cells of one label and setting again.

    Args:
        rows: with any omegas and seeds; other columns agree.
    """
    row = rows.iloc[0].to_dict()
    suite, budget = _suite_of(row)
    is_given = row.get(f"{TASK}law") == "file"
    options = {
        "--suite": suite,
        "--budget": budget,
        "--scale": row.get("scale"),
        "--methods": _label_given(row),
        "--datasets": row.get("dataset_given", row["dataset"]),
        "--clients": str(row["n_clients"]),
        "--widths": row["widths"],
        "--partition": SPLIT_FILE if is_given else None,
        "--omega": None if is_given else ",".join(map(number, sorted(rows["omega"].unique()))),
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


def _suite_of(row: dict[Any, Any]) -> tuple[Any, str | None]:
    """The suite and the budget that the command had: records have the name of the folder."""
    suite = row.get("suite")
    # a method from outside has the paper's steps by either budget
    if isinstance(suite, str) and budget_of(suite) == "paper" and row.get("budget") != "equal":
        return suite.removesuffix(ENDING), "paper"
    return suite, None


def _label_given(row: dict[Any, Any]) -> str:
    """The label that the run had: a page of several folders may have another one."""
    given = row.get("label_given")
    return given if isinstance(given, str) else str(row["label"])


def settings_file(rows: pd.DataFrame) -> str:
    """All settings of cells of one label as TOML: a table for the task and one for the label.

    Settings of a grid are left out: the label, which is that of a point, gives them.
    """
    row = rows.iloc[0].to_dict()
    of_grid = str(row.get("grid_settings") or "").split()
    of_label = _settings(rows, CONFIG)
    tables = {
        "task": _settings(rows, TASK),
        one_line(_label_given(row)): {k: v for k, v in of_label.items() if k not in of_grid},
    }
    return toml_of({name: values for name, values in tables.items() if values})


def _settings(rows: pd.DataFrame, prefix: str) -> dict[str, Any]:
    """The settings that have a value, by their names; they agree in all rows."""
    found = {}
    for column in rows.columns:
        key = str(column).removeprefix(prefix)
        if key == column or key in AXES:
            continue
        values = rows[column].dropna().tolist()
        if values and values[0] != "file":
            found[key] = values[0]
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
