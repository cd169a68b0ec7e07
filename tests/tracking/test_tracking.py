"""Each cell is written once, and an error of a tracker loses nothing."""

import importlib.util

import pytest

from benchmarks.run import main as run
from benchmarks.running.records import all_records
from benchmarks.track import main as track
from benchmarks.tracking.names import check_tracker
from benchmarks.tracking.tracking import Tracking, open_tracking
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("unrendered")


class Notes:
    """A tracker that is a list, and fails a given number of times."""

    place = "a list"

    def __init__(self, failures: int = 0):
        self.failures = failures
        self.cells = {}
        self.closed = False

    def has(self, suite, key, record):
        return self.cells.get((suite, key)) == record

    def write(self, cell):
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to host")
        assert (cell.suite, cell.key) not in self.cells
        self.cells[cell.suite, cell.key] = cell.record

    def close(self):
        self.closed = True


def test_each_cell_is_written_once(suite):
    notes = Notes()
    tracking = Tracking(notes)
    tracking.add(all_records(suite)[:1])
    assert tracking.finish(all_records(suite))
    assert len(notes.cells) == 2 and notes.closed


def test_an_error_is_named_and_what_it_left_out_is_written_at_the_end(suite, capsys):
    notes = Notes(failures=1)
    tracking = Tracking(notes)
    for path in all_records(suite):
        tracking.add([path])
    assert not notes.cells  # nothing more was tried: an unreachable server takes minutes
    assert tracking.finish(all_records(suite)) and len(notes.cells) == 2
    assert "not tracked: ConnectionError: no route to host" in capsys.readouterr().out


def test_a_tracker_that_never_works_changes_no_record(suite, capsys):
    before = {path: path.read_bytes() for path in all_records(suite)}
    tracking = Tracking(Notes(failures=9))
    tracking.add(all_records(suite))
    assert not tracking.finish(all_records(suite))
    assert {path: path.read_bytes() for path in all_records(suite)} == before
    assert "python -m benchmarks.track" in capsys.readouterr().out


def test_without_a_tracker_nothing_is_printed(suite, capsys):
    tracking = open_tracking(None, suite.parent)
    tracking.add(all_records(suite))
    assert tracking.finish(all_records(suite)) and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "given, problem",
    [
        ("mlfow", "did you mean 'mlflow'"),
        ("mlflow:", "possible: mlflow, mlflow:URI"),
        ("wandb:mine", "WANDB_PROJECT"),
    ],
)
def test_an_unknown_tracker_or_place_is_an_error(given, problem):
    with pytest.raises(InputError, match=problem):
        check_tracker(given)


@pytest.mark.parametrize(
    "name, package",
    [("mlflow", "mlflow-skinny"), ("tensorboard", "tensorboard"), ("wandb", "wandb")],
)
def test_a_missing_package_is_an_error_before_any_cell_runs(
    name, package, suite, tmp_path, monkeypatch, capsys
):
    find = importlib.util.find_spec
    gone = {"benchmarks.tracking.names.find_spec": lambda x: None if x == name else find(x)}
    for place, value in gone.items():
        monkeypatch.setattr(place, value)
    assert run(["--track", name, "--out", str(tmp_path / "new")]) == 2
    assert track([str(suite), "--to", name]) == 2
    assert not (tmp_path / "new").exists()
    assert capsys.readouterr().err.count(f"pip install {package}") == 2


def test_a_folder_without_records_is_an_error(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    assert track([str(tmp_path), "--to", "tensorboard"]) == 2
    assert "has no records" in capsys.readouterr().err
