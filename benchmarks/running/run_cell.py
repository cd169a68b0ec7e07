"""run_cell: drives a method, stops its clock, scores its snapshots, writes the record."""

import json
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from filelock import FileLock

from benchmarks.metrics.accuracy import accuracies, score
from benchmarks.metrics.domain import references
from benchmarks.metrics.fidelity import fidelity
from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS
from benchmarks.running.checks import warnings_of
from benchmarks.running.pictures import keep_pictures
from benchmarks.running.record import cost_row, identity
from benchmarks.running.records import done_file, failed_file, read_rows, write_rows
from benchmarks.running.session import Outcome, Session
from mosaic.fl.cache import watch_stages
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import fingerprint, load
from mosaic.fl.device import device
from mosaic.fl.files import write_whole
from mosaic.fl.rng import stream


def run_cell(
    cell: Cell, session: Session, announce: Callable[[str], None] = lambda stage: None
) -> Outcome:
    """Run one cell and write its record, unless another run did so meanwhile. A failing method raises nothing here."""
    folder = session.folder(cell.suite)
    done, failed = done_file(folder, cell), failed_file(folder, cell)
    done.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(cell.task.threads)
    watch_stages(announce)
    begun = time.perf_counter()
    with FileLock(done.with_suffix(".lock")), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read_rows(done)
        if rows is None:
            try:
                rows = list(_rows(cell, session))
                write_rows(done, rows)
                failed.unlink(missing_ok=True)
            except Skip as reason:
                rows = [identity(cell) | {"status": "skipped", "reason": str(reason)}]
                write_rows(done, rows)
            except Exception as error:  # a failing cell never stops the others
                text = traceback.format_exc()
                rows = [
                    identity(cell)
                    | {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
                ]
                write_rows(failed, [rows[0] | {"traceback": text}])
    seconds = time.perf_counter() - begun
    last = rows[-1]
    notes = [str(w.message) for w in caught] + [
        text for text in (last.get("reason"), last.get("warnings")) if text
    ]
    return Outcome(
        cell, last["status"], last.get("accuracy") or float("nan"), seconds, tuple(notes)
    )


def _rows(cell: Cell, session: Session) -> list[dict[str, Any]]:
    """One row a scored snapshot. The method's clock runs while it computes and stands still while it is scored."""
    task, account = cell.task, Account()
    method = METHODS[cell.method].run(task, cell.config)
    rows = []
    for snapshot in on_the_clock(method, account):
        if task.scored(snapshot.round):
            rows.append(identity(cell) | cost_row(account) | _scores(cell, snapshot))
    if not rows:
        raise RuntimeError(f"{cell.method} yielded no snapshot of a scored round")
    rows[-1] |= _of_the_last(cell, session, snapshot)
    rows[-1]["warnings"] = warnings_of(rows[-1])
    certificate = open_federation(task).partition.certificate()
    path = session.folder(cell.suite) / "partitions" / f"{certificate['sha256'][:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        path,
        json.dumps(certificate | {"dataset": task.dataset, "n_clients": task.n_clients}).encode(),
    )
    for row in rows:
        row["partition"] = certificate["sha256"][:16]
        row["data"] = fingerprint(load(task.dataset, "train"))
        row |= {
            f"partition_{k}": certificate[k]
            for k in ("moved", "mean_total_variation", "mean_classes_per_client", "gini")
        }
    return _selected(rows)


def on_the_clock(method: Iterator[Snapshot], account: Account) -> Iterator[Snapshot]:
    """The method's snapshots; the account is open between two of them and closed while one is looked at."""
    while True:
        with opened(account):
            snapshot = next(method, None)
        if snapshot is None:
            return
        yield snapshot


def _scores(cell: Cell, snapshot: Snapshot) -> dict[str, Any]:
    """Accuracy of a snapshot on the full test set and on the held-out validation images."""
    test, federation = load(cell.task.dataset, "test"), open_federation(cell.task)
    on_test = score(snapshot.predict, test.images, test.labels, test.n_classes, device=device())
    row = {
        "round": snapshot.round,
        "accuracy": on_test.accuracy,
        "class_accuracy": " ".join(f"{a:.4f}" for a in on_test.class_accuracy.tolist()),
    }
    if len(federation.validation_labels):
        held_out = federation.validation_images, federation.validation_labels, test.n_classes
        row["accuracy_validation"] = score(snapshot.predict, *held_out).accuracy
    return row


def _of_the_last(cell: Cell, session: Session, snapshot: Snapshot) -> dict[str, Any]:
    """What is measured once a cell: the probes' accuracies, the generators' fidelity, the diagnostics."""
    test = load(cell.task.dataset, "test")
    probed = accuracies(snapshot.probes, test.images, test.labels, device=device())
    row: dict[str, Any] = {f"accuracy_{name}": accuracy for name, accuracy in probed.items()}
    row |= {f"diag_{name}": float(value) for name, value in snapshot.diagnostics.items()}
    if snapshot.synthesise is not None:
        notes = []
        scored = references(cell.task, session.inception, cell.fidelity_n)
        n = max(over.n for _, over in scored)
        images, drawn_by = snapshot.synthesise(n, stream(cell.task.seed, "fidelity"))
        for extractor, over in scored:
            row |= fidelity(extractor, images, over, seed=0)
            notes += [over.warning] if over.warning else []
        row["notes"] = " ".join(notes)
        keep_pictures(cell, session, images, drawn_by)
    return row


def _selected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark the rows that are the last, the best on validation data, and (oracle, to compare with) on the test set."""
    marks: dict[int, list[str]] = {len(rows) - 1: ["last"]}
    for name, column in (("validation", "accuracy_validation"), ("oracle", "accuracy")):
        if column in rows[0]:
            best = max(range(len(rows)), key=lambda i: rows[i][column])
            marks.setdefault(best, []).append(name)
    return [row | {"selection": "+".join(marks.get(i, []))} for i, row in enumerate(rows)]
