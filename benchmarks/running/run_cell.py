"""run_cell: drive a method, stop its clock, score its snapshots, write the record."""

import math
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from benchmarks.metrics.accuracy import accuracies, score
from benchmarks.metrics.domain import references
from benchmarks.metrics.generated_images import score_generated
from benchmarks.metrics.metric_file import measure_metrics
from benchmarks.planning.cell import Cell
from benchmarks.planning.data import check_training_data
from benchmarks.planning.methods import METHODS
from benchmarks.running.certificates import write_certificate
from benchmarks.running.checks import join_warnings, warnings_of
from benchmarks.running.pictures import keep_pictures, picture_file, read_pictures
from benchmarks.running.record import cost_row, identity
from benchmarks.running.record_file import read_file, write_rows
from benchmarks.running.records import done_file, failed_file, read_rows
from benchmarks.running.session import Outcome, Session
from mosaic.fl.cache import watch_stages
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import fingerprint, load, load_checked
from mosaic.fl.device import device
from mosaic.fl.errors import is_full
from mosaic.fl.files import was_set_aside

Row = dict[str, Any]

HETEROGENEITY = ("moved", "mean_total_variation", "mean_classes_per_client", "gini")
"""What a record has of its partition's certificate, as ``partition_*``."""


def _ignore(stage: str) -> None:
    """The default of ``announce``: nothing happens when a stage starts."""


def run_cell(cell: Cell, session: Session, announce: Callable[[str], None] = _ignore) -> Outcome:
    """Run one cell and write its record, unless another run has written it meanwhile.

    Args:
        cell: what to run.
        session: the folder and the device.
        announce: called with the name of each stage that starts to be computed.

    Returns:
        How the cell ended. A failing method raises nothing here: its traceback is in the record.
        ``notes`` begin with the reason of a failed or skipped cell; the Python warnings follow.
    """
    folder = session.folder(cell.suite)
    done = done_file(folder, cell)
    done.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(cell.task.threads)
    watch_stages(announce)

    begun = time.perf_counter()
    with FileLock(done.with_suffix(".lock")), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read_file(done)
        if rows is None or was_set_aside(picture_file(folder, cell.key)):
            rows = _run(cell, session)
    seconds = time.perf_counter() - begun

    last = rows[-1]
    notes = [str(warning.message) for warning in caught]
    if last.get("reason"):
        notes.insert(0, last["reason"])
    accuracy = last.get("accuracy")
    if accuracy is None:  # a skipped or failed cell; 0.0 is an accuracy
        accuracy = math.nan
    return Outcome(cell, last["status"], accuracy, seconds, tuple(notes))


def is_finished(folder: Path, cell: Cell) -> bool:
    """Return whether a cell has a record here, and pictures that can be read, if it has any.

    Damaged ones are named in warnings and set aside; then the cell runs again.
    """
    if read_rows(done_file(folder, cell)) is None:
        return False
    pictures = picture_file(folder, cell.key)
    return read_pictures(pictures) is not None or not was_set_aside(pictures)


def _run(cell: Cell, session: Session) -> list[Row]:
    """Run a cell that has no record; write the record and return its rows."""
    folder = session.folder(cell.suite)
    done = done_file(folder, cell)
    failed = failed_file(folder, cell)
    try:
        rows = _rows(cell, session)
        write_rows(done, rows)
    except Skip as reason:
        rows = [identity(cell) | {"status": "skipped", "reason": str(reason)}]
        write_rows(done, rows)
    except (Exception, SystemExit) as error:
        # A failing cell never stops the others, a method that calls sys.exit() neither; a full
        # disk does.
        if is_full(error):
            raise
        row = identity(cell) | {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        write_rows(failed, [row | {"traceback": traceback.format_exc()}])
        return [row]
    failed.unlink(missing_ok=True)
    return rows


def record_failure(cell: Cell, session: Session, reason: str) -> Outcome:
    """Write the record of a cell that failed with its process, which could not write it."""
    row = identity(cell) | {"status": "failed", "reason": reason}
    write_rows(failed_file(session.folder(cell.suite), cell), [row])
    return Outcome(cell, "failed", notes=(reason,))


def _rows(cell: Cell, session: Session) -> list[Row]:
    """One row per scored snapshot. The method's clock is stopped while a snapshot is scored."""
    task = cell.task
    _check_data(cell)
    account = Account()
    rows: list[Row] = []
    last_scored: Snapshot | None = None
    for snapshot in on_the_clock(METHODS[cell.method].run(task, cell.config), account):
        if task.scored(snapshot.round):
            rows.append(identity(cell) | cost_row(account) | _scores(cell, snapshot))
            last_scored = snapshot
    if last_scored is None:
        raise RuntimeError(f"{cell.method} yielded no snapshot of a scored round")
    if last_scored.round < task.rounds:
        raise RuntimeError(
            f"{cell.method} yielded its last scored snapshot after round {last_scored.round}, but "
            f"the task has {task.rounds} rounds: yield one after the last round too"
        )

    rows[-1] |= _once_per_cell(cell, session, last_scored)
    rows[-1]["warnings"] = warnings_of(rows[-1])

    partition = _partition_columns(cell, session)
    return _selected([row | partition for row in rows])


def _check_data(cell: Cell) -> None:
    """Raise an InputError if this process has other data than the cell's key says."""
    check_training_data(cell)
    load_checked(cell.task.dataset, "test", cell.test_data)


def on_the_clock(method: Iterator[Snapshot], account: Account) -> Iterator[Snapshot]:
    """Pass on a method's snapshots, with its clock stopped while one is looked at.

    Args:
        method: what a method's ``run`` returned.
        account: gets the costs of the method. It is open only while the method computes.
    """
    while True:
        with opened(account):
            snapshot = next(method, None)
        if snapshot is None:
            return
        yield snapshot


def _scores(cell: Cell, snapshot: Snapshot) -> Row:
    """Accuracy of a snapshot on the full test set and on the held-out validation images."""
    test = load(cell.task.dataset, "test")
    federation = open_federation(cell.task)
    on_test = score(snapshot.predict, test.images, test.labels, test.n_classes, device=device())
    row: Row = {
        "round": snapshot.round,
        "accuracy": on_test.accuracy,
        "class_accuracy": " ".join(f"{a:.4f}" for a in on_test.class_accuracy.tolist()),
    }
    if len(federation.validation_labels):
        on_validation = score(
            snapshot.predict,
            federation.validation_images,
            federation.validation_labels,
            test.n_classes,
        )
        row["accuracy_validation"] = on_validation.accuracy
    return row


def _once_per_cell(cell: Cell, session: Session, snapshot: Snapshot) -> Row:
    """What is measured of the last scored snapshot only.

    These are the accuracies of its probes, its diagnostics, users' metrics and, if it can generate
    images, their fidelity.
    """
    test = load(cell.task.dataset, "test")
    row: Row = {}
    probed = accuracies(snapshot.probes, test.images, test.labels, device=device())
    for name, accuracy in probed.items():
        row[f"accuracy_{name}"] = accuracy
    for name, value in snapshot.diagnostics.items():
        row[f"diag_{name}"] = float(value)
    row |= measure_metrics(cell.metrics, cell.task.dataset, snapshot)
    if snapshot.synthesise is not None:
        row |= _fidelity(cell, session, snapshot.synthesise)
    return row


def _fidelity(cell: Cell, session: Session, synthesise: Callable) -> Row:
    """Score generated images, and keep some of them for the report's figure."""
    over = partial(references, cell.task, cell.test_data, session.inception)
    shards = open_federation(cell.task).shards
    generated = score_generated(synthesise, cell.task.seed, cell.fidelity_n, over, shards)
    keep_pictures(cell, session, generated.images, generated.drawn_by)
    return {**generated.scores, "notes": join_warnings(generated.warnings)}


def _partition_columns(cell: Cell, session: Session) -> Row:
    """Write the partition's certificate beside the records; return what the record says of it."""
    task = cell.task
    name, certificate = write_certificate(cell, session.folder(cell.suite))
    row: Row = {"partition": name, "data": fingerprint(load(task.dataset, "train"))}
    for fact in HETEROGENEITY:
        row[f"partition_{fact}"] = certificate[fact]
    return row


def _selected(rows: list[Row]) -> list[Row]:
    """Mark the last row and those with the best validation accuracy and the best test accuracy.

    The mark "oracle" is the best on the test set: it is for comparison only.
    """
    marks: list[list[str]] = [[] for _ in rows]
    marks[-1].append("last")
    for mark, column in (("validation", "accuracy_validation"), ("oracle", "accuracy")):
        if column in rows[0]:
            best = max(range(len(rows)), key=lambda i, column=column: rows[i][column])
            marks[best].append(mark)
    return [row | {"selection": "+".join(marks[i])} for i, row in enumerate(rows)]
