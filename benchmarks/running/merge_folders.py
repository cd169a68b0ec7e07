"""Two labs' runs of one suite as one folder; where they disagree about a cell, both are named."""

import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.metrics.column_types import INTEGERS, NUMBERS, kind_of, unit_of
from benchmarks.reporting.page.repeat import ENVIRONMENT
from benchmarks.reporting.page.sources import FOLDER, read_folders
from benchmarks.reporting.parts import Failures
from benchmarks.reporting.report import with_other_budget, write_report
from benchmarks.running.copies import copy_cells, copy_files
from benchmarks.running.pictures import picture_file
from benchmarks.running.record_file import Row
from benchmarks.running.records import all_records, key_of, read_rows
from benchmarks.running.suite_folder import OWNER, claim_by_name, same_suite, suite_of
from benchmarks.texts import one_line
from mosaic.fl.errors import InputError
from mosaic.fl.unfinished import temporary_folder

Side = Literal["A", "B"]

COMPARED = ("round", "selection", "class_accuracy", "partition")
"""Columns that must agree beside the measured numbers."""

OF_THE_MACHINE = ("peak_memory_bytes",)
"""Measured numbers that need not agree; seconds need not either."""


@dataclass(frozen=True)
class Conflict:
    """A cell that both folders have, with other numbers.

    Attributes:
        cell: the cell in one line.
        columns: those that differ, with both values, in the first round where any does.
        environments: what differs of what ran it, with both values.
    """

    cell: str
    columns: dict[str, tuple[Any, Any]]
    environments: dict[str, tuple[Any, Any]]

    @property
    def text(self) -> str:
        """The conflict in one line; of many columns the first three."""
        values = [f"{name} {a} in A, {b} in B" for name, (a, b) in self.columns.items()]
        more = f" and {len(values) - 3} more columns" if len(values) > 3 else ""
        machines = [f"{name} {a} in A, {b} in B" for name, (a, b) in self.environments.items()]
        ran = "; ".join(machines) or "both name the same environment"
        return one_line(f"{self.cell}: {'; '.join(values[:3])}{more} ({ran})")


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        counts: cells by where they are from: "A", "B" or "both".
        conflicts: cells that differ; one side's are in the folder.
        failures: parts of the report that could not be made.
    """

    counts: dict[str, int]
    conflicts: list[Conflict]
    failures: Failures


def merge(first: Path, second: Path, out: Path, prefer: Side | None = None) -> Merged:
    """Unite two folders of one suite, and write the tables and figures of the union.

    Args:
        first: a suite's folder, A. Neither folder is changed.
        second: the other one, B.
        out: the folder that is made; it is there whole or not at all.
        prefer: whose record is taken of a cell that differs.

    Raises:
        InputError: the folders are of different suites or scales, or cells differ and nobody is
            preferred; or ``out`` has something in it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; give --out a new folder.")
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out.resolve().parent, "merge") as place:
        sides: dict[Side, Path] = {"A": place / "sides" / "A", "B": place / "sides" / "B"}
        for folder, side in zip((first, second), sides.values(), strict=True):
            for damage in copy_cells(folder, side):
                warnings.warn(f"damaged: {folder}/{damage}; it is not read", stacklevel=2)
            copy_files(folder, side, [OWNER])
        rows: dict[Side, dict[str, list[Row]]] = {
            side: _rows_of(path) for side, path in sides.items()
        }
        _check_alike((first, second), rows)
        if not same_suite(*sides.values()):
            raise InputError(
                f"{first} and {second} are of two suites' files of one name; run both with the "
                "same file."
            )

        chosen, conflicts = _choose(rows, prefer or "A")
        if conflicts and prefer is None:
            texts = "\n".join(f"  {conflict.text}" for conflict in conflicts)
            raise InputError(
                f"{len(conflicts)} cells have other numbers in {first} (A) than in {second} (B); "
                f"give --prefer A or --prefer B.\n{texts}"
            )
        union = place / out.resolve().name  # the page says the name of its folder
        for key, side in chosen.items():
            _move(sides[side], union, key)
        for side in reversed(sides.values()):  # A's files last, which are kept
            copy_files(side, union, ["partitions/*.json", OWNER])
        failures = _report(union)
        if out.exists():
            out.rmdir()
        os.rename(union, out)
    return Merged(_counts(rows), conflicts, failures)


def _rows_of(folder: Path) -> dict[str, list[Row]]:
    """The rows of each cell."""
    rows = {}
    for path in all_records(folder):
        found = read_rows(path)
        if found:
            rows[key_of(path)] = found
    return rows


def _check_alike(folders: tuple[Path, Path], rows: dict[Side, dict[str, list[Row]]]) -> None:
    """Raise an InputError unless both folders have records of one suite at one scale."""
    for folder, cells in zip(folders, rows.values(), strict=True):
        if not cells:
            raise InputError(f"{folder} has no records; give a suite's folder.")
    for column in ("suite", "scale"):
        a, b = (
            sorted({str(record[-1].get(column)) for record in cells.values()})
            for cells in rows.values()
        )
        if a != b:
            raise InputError(
                f"the folders have different values of {column}: {', '.join(a)} in {folders[0]}, "
                f"{', '.join(b)} in {folders[1]}; python -m benchmarks.report shows such folders "
                "side by side."
            )


def _choose(
    rows: dict[Side, dict[str, list[Row]]], prefer: Side
) -> tuple[dict[str, Side], list[Conflict]]:
    """Whose record is taken of each cell, and the cells that differ."""
    a, b = rows["A"], rows["B"]
    chosen: dict[str, Side] = dict.fromkeys(b, "B")
    chosen.update(dict.fromkeys(a, "A"))
    conflicts = []
    for key in sorted(a.keys() & b.keys()):
        statuses = a[key][-1]["status"], b[key][-1]["status"]
        if "failed" in statuses:
            chosen[key] = "A" if statuses[0] != "failed" or statuses[1] == "failed" else "B"
            continue
        conflict = _compare(a[key], b[key])
        if conflict:
            conflicts.append(conflict)
            chosen[key] = prefer
    return chosen, conflicts


def _compare(a: list[Row], b: list[Row]) -> Conflict | None:
    """How the numbers of two records of a cell differ; None if they agree in all that both have."""
    columns: dict[str, tuple[Any, Any]] = {}
    if len(a) != len(b) or a[-1]["status"] != b[-1]["status"]:
        columns = {name: (_state(a)[name], _state(b)[name]) for name in _state(a)}
    for row_a, row_b in zip(a, b, strict=False):
        columns = columns or dict(_differing(row_a, row_b))
    if not columns:
        return None
    environments = {}
    for name in ENVIRONMENT:
        values = a[-1].get(name), b[-1].get(name)
        if values[0] != values[1]:
            environments[name] = values
    row = a[-1]
    title = f"{row['label']} {row['dataset']} omega={row['omega']} N={row['n_clients']}"
    return Conflict(f"{title} {row['widths']} seed={row['seed']}", columns, environments)


def _state(rows: list[Row]) -> dict[str, Any]:
    return {"status": rows[-1]["status"], "scored rounds": len(rows)}


def _differing(a: Row, b: Row) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The numbers that both rows have, and that are others."""
    both = [name for name in a if a[name] is not None and b.get(name) is not None]
    for name in sorted(both, key=lambda name: name != "accuracy"):
        if a[name] == b[name]:
            continue
        measured = kind_of(name) in ("number", "integer") and name not in INTEGERS + NUMBERS
        free = name in OF_THE_MACHINE or unit_of(name) == "s"
        if name in COMPARED or (measured and not free):
            yield name, (a[name], b[name])


def _move(side: Path, union: Path, key: str) -> None:
    """Move a cell's files into the union."""
    done = side / "cells" / f"{key}.jsonl"
    record = done if done.exists() else done.with_suffix(".failed.json")
    for path in (record, picture_file(side, key)):
        if path.exists():
            place = union / path.relative_to(side)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, place)


def _report(union: Path) -> Failures:
    """Write tables, figures and page of all records of the union."""
    sources = read_folders([union])
    for note in sources.notes:
        warnings.warn(note, stacklevel=2)
    records = sources.records.drop(columns=FOLDER)
    if not (union / OWNER).exists():  # as in results that were committed
        claim_by_name(union, str(records["suite"].iloc[0]))
    suite = suite_of(union)
    others = with_other_budget(union)
    return write_report(records, union, suite.pages, suite.reference, others)


def _counts(rows: dict[Side, dict[str, list[Row]]]) -> dict[str, int]:
    a, b = (cells.keys() for cells in rows.values())
    return {"A": len(a - b), "B": len(b - a), "both": len(a & b)}
