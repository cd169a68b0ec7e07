"""The time that a run shows: what is left gets less, and what is not known is not shown."""

import dataclasses

import pytest

from benchmarks.running import run_state
from benchmarks.running.progress import Estimate
from benchmarks.running.records import done_file, write_rows
from benchmarks.running.run_state import RunState
from benchmarks.running.session import Outcome

HOUR = 3600.0


class Clock:
    """The time in the place of the system's."""

    now = 1e6

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_state.time, "time", clock.time)
    return clock


@pytest.fixture
def estimate(tmp_path, cells) -> Estimate:
    """One cell has run, of FedAvg, for an hour."""
    row = {"cell": cells[0].key, "status": "done", "round": 1, "selection": "last"}
    write_rows(done_file(tmp_path, cells[0]), [row | {"method_s": HOUR}])
    return Estimate(tmp_path, cells)


def at_seed(cell, seed):
    return dataclasses.replace(cell, task=dataclasses.replace(cell.task, seed=seed))


def _given_split(task):
    return dataclasses.replace(task, law="file", partition="0" * 16, omega=float("inf"))


def test_the_time_left_gets_less_while_the_last_cell_runs(cells, estimate, clock):
    cell = at_seed(cells[0], 7)
    state = RunState([cell], 1, estimate, jobs=2)  # the second process has nothing to do
    state.watch(cell.key, cell.key, "")
    left = []
    for _ in range(4):
        left.append(state.summary().seconds_left)
        clock.now += HOUR / 2
    assert left == [HOUR, HOUR / 2, 0, 0]


def test_what_running_cells_have_done_counts_when_another_ends(cells, estimate, clock):
    first, second = at_seed(cells[0], 7), at_seed(cells[0], 8)
    state = RunState([first, second], 1, estimate, jobs=2)
    for cell in (first, second):
        state.watch(cell.key, cell.key, "")
    assert state.summary().seconds_left == HOUR
    clock.now += HOUR / 4
    state.end(Outcome(first, "failed"))
    assert state.summary().seconds_left == 3 * HOUR / 4


def test_a_cell_of_an_unknown_kind_has_no_expected_time(cells, estimate):
    ensemble = next(cell for cell in cells if cell.label == "ensemble")
    state = RunState([ensemble], 1, estimate, jobs=1)
    state.watch(ensemble.key, ensemble.key, "")
    [entry] = state.summary().running
    assert entry.expected is None
    assert state.summary().seconds_left == pytest.approx(HOUR, abs=60)  # of all: by the mean


def test_two_cells_that_run_have_two_titles(cells, estimate):
    cell = cells[0]
    others = [
        dataclasses.replace(cell, widths="mixed", fidelity_n=1),
        dataclasses.replace(cell, dataset="mine", fidelity_n=2),
        dataclasses.replace(cell, task=dataclasses.replace(cell.task, n_clients=20)),
        dataclasses.replace(cell, task=_given_split(cell.task)),
    ]
    state = RunState([cell, *others], 0, estimate, jobs=5)
    for one in (cell, *others):
        state.watch(one.key, one.key, "")
    titles = [entry.title for entry in state.summary().running]
    assert titles == [one.title for one in (cell, *others)] and len(set(titles)) == 5
    assert "given split" in titles[-1]
