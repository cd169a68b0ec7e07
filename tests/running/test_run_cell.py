"""One cell: what is scored of which snapshot, how its outcome reads, and users' metrics."""

import dataclasses
import math
import sys

import pytest
import torch

from benchmarks.metrics.columns import METRICS
from benchmarks.metrics.metric_file import LOADED, load_metric_file
from benchmarks.planning.methods import METHODS
from benchmarks.running.records import done_file, failed_file, read_rows
from benchmarks.running.run_cell import run_cell
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.data.loading import load


def always(k: int):
    """A model that answers class ``k`` to every image."""
    logits = torch.zeros(10)
    logits[k] = 1.0
    return lambda images: logits.expand(len(images), 10)


def share_of(k: int) -> float:
    """The accuracy of that model: the share of class ``k`` in the test set."""
    return (load("digits", "test").labels == k).double().mean().item()


@pytest.fixture
def run_snapshots(tiny_cell, session, monkeypatch):
    """Run a cell of a method that yields the given snapshots; its outcome and its rows."""

    def run(*snapshots, cell=None):
        cell = cell or tiny_cell("fedavg", score_every=2, rounds=4)
        monkeypatch.setattr(METHODS["fedavg"], "run", lambda task, config: iter(snapshots))
        outcome = run_cell(cell, session)
        folder = session.folder(cell.suite)
        rows = read_rows(done_file(folder, cell)) or read_rows(failed_file(folder, cell))
        return outcome, rows

    return run


def test_an_accuracy_of_zero_is_zero_and_not_missing(run_snapshots):
    """Each test image gets the class after its own; the test set goes through in one batch."""
    wrong = (load("digits", "test").labels + 1) % 10

    def predict(images):
        if len(images) == len(wrong):
            return torch.eye(10)[wrong]
        return always(0)(images)

    outcome, rows = run_snapshots(Snapshot(4, predict))
    assert outcome.status == "done" and outcome.accuracy == 0.0
    assert rows[-1]["accuracy"] == 0.0


def test_what_is_measured_once_is_of_the_last_scored_snapshot(run_snapshots):
    """Round 3 is not scored: its probes must not be in the record."""
    first = Snapshot(2, always(1))
    unscored = Snapshot(3, always(4), probes={"start": always(5)}, diagnostics={"loss": 3.0})
    last = Snapshot(4, always(2), probes={"start": always(2)}, diagnostics={"loss": 2.0})
    _, rows = run_snapshots(first, unscored, last)
    assert [row["round"] for row in rows] == [2, 4]
    assert rows[1]["accuracy_start"] == pytest.approx(share_of(2)) and rows[1]["diag_loss"] == 2.0


def test_a_method_that_ends_before_the_last_round_has_failed(run_snapshots):
    outcome, _ = run_snapshots(Snapshot(2, always(1)), Snapshot(3, always(4)))
    assert outcome.status == "failed"
    assert "after round 2, but the task has 4 rounds" in outcome.notes[0]


def test_a_method_that_ends_the_process_is_a_failed_cell(tiny_cell, session, monkeypatch):
    def leaves(task, config):
        sys.exit(3)
        yield

    monkeypatch.setattr(METHODS["fedavg"], "run", leaves)
    outcome = run_cell(tiny_cell("fedavg"), session)
    assert outcome.status == "failed" and outcome.notes[0] == "SystemExit: 3"


def test_a_cell_without_a_scored_snapshot_fails_with_its_reason_first(run_snapshots):
    outcome, rows = run_snapshots(Snapshot(1, always(0)))
    assert outcome.status == "failed" and math.isnan(outcome.accuracy)
    assert outcome.notes[0] == "RuntimeError: fedavg yielded no snapshot of a scored round"
    assert "Traceback" in rows[0]["traceback"]


def test_a_skipped_cell_is_done_and_says_why(tiny_cell, session, monkeypatch):
    def run(task, config):
        raise Skip("not at this width")
        yield

    monkeypatch.setattr(METHODS["fedavg"], "run", run)
    cell = tiny_cell("fedavg")
    outcome = run_cell(cell, session)
    assert outcome.status == "skipped" and outcome.notes == ("not at this width",)
    assert done_file(session.folder("tiny"), cell).exists()


def test_the_last_the_best_on_validation_and_the_best_on_test_are_marked(run_snapshots):
    _, rows = run_snapshots(Snapshot(2, always(3)), Snapshot(4, always(8)))
    assert rows[-1]["selection"].startswith("last")
    marks = [row["selection"].split("+") for row in rows]
    assert sum("validation" in m for m in marks) == sum("oracle" in m for m in marks) == 1
    best = max(rows, key=lambda row: row["accuracy"])
    assert "oracle" in best["selection"]


METRIC = '''"""Share of images that the model gives class 1."""

COLUMN = "share_of_ones"
UNIT = ""
BETTER = ""
HEADING = "ones"


def measure(predict, images, labels, n_classes):
    assert images.shape == (len(labels), 1, 8, 8) and -1 <= images.min() and images.max() <= 1
    assert n_classes == 10
    return (predict(images).argmax(1) == 1).float().mean()
'''


@pytest.fixture
def metric_cell(tiny_cell, tmp_path, monkeypatch):
    """A cell that names the metric of a file with this text."""
    monkeypatch.setattr("benchmarks.metrics.metric_file.LOADED", dict(LOADED))
    before = dict(METRICS)

    def make(text: str):
        path = tmp_path / "ones.py"
        path.write_text(text)
        cell = tiny_cell("fedavg", score_every=2, rounds=4)
        return dataclasses.replace(cell, metrics=(load_metric_file(path),))

    yield make
    METRICS.clear()
    METRICS.update(before)


def test_a_users_metric_is_measured_of_the_last_scored_snapshot(run_snapshots, metric_cell):
    cell = metric_cell(METRIC)
    _, rows = run_snapshots(Snapshot(2, always(0)), Snapshot(4, always(1)), cell=cell)
    assert "share_of_ones" not in rows[0] and rows[1]["share_of_ones"] == 1.0


def test_of_several_models_the_mean_of_a_users_metric_is_recorded(run_snapshots, metric_cell):
    snapshot = Snapshot(4, [always(1), always(2), always(2), always(1)])
    _, rows = run_snapshots(snapshot, cell=metric_cell(METRIC))
    assert rows[-1]["share_of_ones"] == 0.5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('raise ValueError("no such thing")', "failed: ValueError: no such thing"),
        ('return float("nan")', "returned nan, not a finite number"),
        ("return None", "failed: TypeError"),
    ],
)
def test_a_metric_that_fails_fails_the_cell_and_says_so(run_snapshots, metric_cell, line, reason):
    cell = metric_cell(METRIC.replace("assert n_classes == 10", line))
    outcome, _ = run_snapshots(Snapshot(4, always(1)), cell=cell)
    assert outcome.status == "failed"
    assert "the metric ones-" in outcome.notes[0] and reason in outcome.notes[0]


def test_a_metric_that_is_not_loaded_fails_the_cell(run_snapshots, metric_cell):
    cell = metric_cell(METRIC)
    cell = dataclasses.replace(cell, metrics=("other-0123456789ab",))
    outcome, _ = run_snapshots(Snapshot(4, always(1)), cell=cell)
    assert "the metric other-0123456789ab is not loaded" in outcome.notes[0]
