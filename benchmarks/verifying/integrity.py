"""Whether a suite's records are what a run wrote: checksums, keys, partitions."""

import dataclasses
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.planning.cell import Cell
from benchmarks.running.certificates import read_label_counts, write_certificate
from benchmarks.running.folder_content import Content
from benchmarks.running.record import environment
from benchmarks.running.record_file import Row
from benchmarks.running.run_cell import HETEROGENEITY
from benchmarks.verifying.record_cells import OtherKey, cell_of, version_of
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.data.loading import fingerprint, is_here, load
from mosaic.fl.errors import InputError
from mosaic.fl.task import Task

MOST = 10
"""Findings of one kind that are printed one by one."""


def check_records(content: Content, verdict: Verdict) -> None:
    """Check that every record is whole, and has the values that it was written with."""
    tell([str(damage) for damage in content.damaged], "damaged: ", verdict)
    n_sound = len(content.rows) + len(content.failed)
    n_signed = n_sound - len(content.without_checksum)
    if n_signed:
        verdict.agrees(f"{_records(n_signed)} with the checksum that they were written with")
    if content.without_checksum:
        verdict.note(
            f"{_records(len(content.without_checksum))} without a checksum, from a version before "
            "there was one: whole, but a changed number would not be noticed here"
        )


def known_cells(content: Content, metrics: Sequence[str], verdict: Verdict) -> dict[str, Cell]:
    """The cells of the records whose keys are those of their method, task, settings and data.

    Args:
        content: of the suite's folder.
        metrics: the names of metrics from outside that the run may have had.
        verdict: gets what was found.
    """
    cells = {}
    other_version: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for key, row in content.last_rows().items():
        try:
            cells[key] = cell_of(row, metrics)
        except InputError as error:
            if not isinstance(error, OtherKey):
                reasons[str(error)] += 1
            elif _is_of_this_code(row):
                verdict.differs(f"record {key} names the commit of this code, and {error}")
            else:
                other_version[version_of(row)] += 1

    if cells:
        verdict.agrees(f"{_records(len(cells))} with the key of their method, settings and data")
    if other_version:
        versions = "; ".join(f"{name} ({n})" for name, n in other_version.most_common(MOST))
        verdict.cannot(
            f"{_records(other_version.total())} with keys that this code does not give: written by "
            f"another version of it, or changed by hand. Their version and commit: {versions}. "
            "They cannot be run again by this code: check out theirs, and verify with it"
        )
    for reason, n in reasons.most_common(MOST):
        verdict.cannot(f"{_records(n)} whose cell is not known here: {reason}")
    return cells


def _is_of_this_code(row: Row) -> bool:
    """Whether the record names the commit of this code, without changes in either."""
    commit = environment()["commit"]
    return bool(commit) and not commit.endswith("+") and row.get("commit") == commit


def check_partitions(
    content: Content, cells: dict[str, Cell], scratch: Path, verdict: Verdict
) -> None:
    """Check each record's partition, and its certificate, against the data and the task.

    Args:
        content: of the suite's folder.
        cells: those of its records whose keys are known.
        scratch: a folder with the certificates, in which files may be written.
        verdict: gets what was found.
    """
    with warnings.catch_warnings():  # of damaged certificates, which become problems here
        warnings.simplefilter("ignore")
        problems = dict.fromkeys(_unsound(content, scratch))
    split: dict[Task, tuple[str, dict[str, Any]]] = {}
    absent: Counter[str] = Counter()
    for key, cell in cells.items():
        rows = content.rows[key]
        if rows[-1].get("partition") is None:
            continue
        if not _has_data(cell):
            absent[cell.dataset_name] += 1
            continue
        task = dataclasses.replace(cell.task.without_models(), precision="fp32", threads=1)
        if task not in split:
            split[task] = write_certificate(cell, scratch / "recomputed")
        problems |= dict.fromkeys(_partition_problems(key, rows, content, *split[task], scratch))

    tell(list(problems), "", verdict)
    if split and not problems:
        verdict.agrees(f"{len(split)} partitions, made again from the data and the tasks")
    for name, n in absent.items():
        verdict.note(
            f"the partitions of {_records(n)} were not made again: {name}, as it was then, is not "
            "on this machine (--data-dir)"
        )


def _has_data(cell: Cell) -> bool:
    """Whether the training images that the cell's key names are on this machine."""
    name = cell.task.dataset
    return is_here(name, "train") and cell.task.data in ("", fingerprint(load(name, "train")))


def _unsound(content: Content, scratch: Path) -> Iterable[str]:
    """Partitions that records name, and whose certificates are absent or damaged."""
    for name in sorted({str(row["partition"]) for row in _with_partition(content)}):
        file = f"partitions/{name}.json"
        if name not in content.certificates:
            yield f"{file} is missing, and records name it"
        elif read_label_counts(scratch, name) is None:
            yield f"{file} is damaged, or of another partition than its name says"


def _with_partition(content: Content) -> list[Row]:
    return [row for row in content.last_rows().values() if row.get("partition") is not None]


def _partition_problems(
    key: str,
    rows: Sequence[Row],
    content: Content,
    name: str,
    certificate: dict[str, Any],
    scratch: Path,
) -> Iterable[str]:
    """What a record, or its certificate's file, has that the data and the task do not give."""
    again = json.loads((scratch / "recomputed" / "partitions" / f"{name}.json").read_bytes())
    for row in rows:
        if row.get("partition") != name:
            yield (
                f"record {key}: its partition is {row.get('partition')}, and its task gives {name}"
            )
            return
        for fact in HETEROGENEITY:
            recorded = row.get(f"partition_{fact}", certificate[fact])
            if not _close(recorded, certificate[fact]):
                yield (
                    f"record {key}: partition_{fact} is {recorded}, and its task gives "
                    f"{certificate[fact]}"
                )
    try:
        kept = json.loads(content.certificates.get(name, b"{}"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict):  # it was named as damaged
        return
    for field in kept.keys() & again.keys():
        if not _same(kept[field], again[field]):
            yield f"partitions/{name}.json: {field} is not what the data and the task give"


def _same(kept: Any, again: Any) -> bool:
    return kept == again or (_is_number(kept) and _is_number(again) and _close(kept, again))


def _close(recorded: Any, again: Any) -> bool:
    """Equal but for the last digits, which depend on the order of sums."""
    if not (_is_number(recorded) and _is_number(again)):
        return recorded == again
    return abs(recorded - again) <= 1e-9 * max(1, abs(again))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def tell(problems: Sequence[str], before: str, verdict: Verdict) -> None:
    """Report differences one by one, and how many more there are."""
    for problem in problems[:MOST]:
        verdict.differs(f"{before}{problem}")
    if len(problems) > MOST:
        verdict.differs(f"{before}{len(problems) - MOST} more like these")


def _records(n: int) -> str:
    return "1 record" if n == 1 else f"{n} records"
