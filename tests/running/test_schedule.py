"""Which work runs when: stages once and before the cells that need them, earlier groups first."""

import time

import pytest

from benchmarks.planning.cell import Cell
from benchmarks.running.processes import run_cells
from benchmarks.running.records import load_records
from benchmarks.running.schedule import Schedule, Stage, Work, group_of
from benchmarks.running.session import Session


@pytest.fixture
def cell(tiny_cell):
    """Make a cell with two local steps per round: cell("fedavg", seed=1)."""

    def make(method: str, **changes) -> Cell:
        return tiny_cell(method, **{"steps": 2, "lr": 0.01} | changes)

    return make


def names(schedule: Schedule, seconds: float = 1.0) -> list[str]:
    """What one worker would do, piece by piece."""
    done = []
    while work := schedule.take():
        done.append(name(work))
        schedule.ended(work, seconds)
    return done


def name(work: Work) -> str:
    if isinstance(work, Stage):
        return work.name
    return work.label


def test_a_stage_comes_once_and_before_the_cells_that_need_it(cell):
    order = names(Schedule([cell("fedavg"), cell("mosaic"), cell("fedprox"), cell("ensemble")]))
    stages = ["warm_up"] * 2 + ["last_model"] * 3 + ["client_generator"] * 3 + ["client_prototypes"]
    assert sorted(order) == sorted([*stages, "fedavg", "mosaic", "fedprox", "ensemble"])
    assert order.index("warm_up") < order.index("last_model") < order.index("fedavg")
    last_generator = max(i for i, name in enumerate(order) if name == "client_generator")
    assert last_generator < order.index("mosaic")
    assert order.index("last_model") < order.index("ensemble")


def test_what_waits_for_a_running_stage_is_not_given_out(cell):
    schedule = Schedule([cell("ensemble")])
    stage = schedule.take()
    assert stage.name == "warm_up" and schedule.take() is None and schedule
    schedule.ended(stage, 1.0)
    assert [name(schedule.take()) for _ in range(3)] == ["last_model"] * 3


def test_two_workers_train_a_methods_generators_side_by_side(cell):
    schedule = Schedule([cell("mosaic")])
    for _ in range(5):  # warm_up, three times last_model, warm_up
        schedule.ended(schedule.take(), 1.0)
    side_by_side = [schedule.take() for _ in range(4)]
    assert sorted(map(name, side_by_side)) == ["client_generator"] * 3 + ["client_prototypes"]
    assert schedule.take() is None


def test_near_the_end_the_longest_chain_goes_first(cell):
    """fedprox takes 1 s, fedrs 9 s: as soon as that is known, the long one comes first."""
    cells = [cell(method, seed=seed) for method in ("fedprox", "fedrs") for seed in (0, 1)]
    schedule = Schedule(cells)
    seconds = {"fedprox": 1.0, "fedrs": 9.0}
    for work in (cells[0], cells[2]):  # one of each has run
        del schedule.waiting[work.key]
        schedule.ended(work, seconds[work.label])
    order = []
    while work := schedule.take():
        order.append(name(work))
        schedule.ended(work, seconds[name(work)])
    assert order == ["fedrs", "fedprox"]


def test_far_from_the_end_a_cell_that_can_run_goes_before_the_stages_of_others(cell):
    schedule = Schedule([cell("ensemble", seed=seed) for seed in range(6)])
    order = names(schedule)
    a_cell = ["warm_up", "last_model", "last_model", "last_model", "ensemble"]
    assert order[:10] == a_cell * 2 and len(order) == 30


METHODS = ("local", "fedavg", "fedprox", "ensemble", "dense", "mosaic", "centralised")


def finishing_times(cells: list[Cell], jobs: int) -> dict[str, int]:
    """When each cell is over, by its key, if each piece of work takes a second."""
    schedule = Schedule(cells, jobs)
    over: dict[str, int] = {}
    second = 0
    while schedule:
        second += 1
        running = []
        while len(running) < jobs and (work := schedule.take()):
            running.append(work)
        assert running, "somebody waits for nothing"
        for work in running:
            over[work.key] = second
            schedule.ended(work, 1.0)
    return over


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_groups_cells_are_complete_before_the_run_goes_on(cell, jobs):
    """Cells without stages (local, centralised) of later groups do not delay the first table."""
    cells = [cell(method, seed=seed) for seed in range(12) for method in METHODS]
    first = [c for c in cells if group_of(c) == group_of(cells[0])]
    alone = max(finishing_times(first, jobs).values())
    over = finishing_times(cells, jobs)
    assert max(over[c.key] for c in first) <= alone + 1
    ends = [max(over[c.key] for c in cells if c.task.seed == seed) for seed in range(12)]
    assert ends == sorted(ends)


def test_two_workers_are_never_idle_while_a_later_group_has_work(cell):
    cells = [cell(method, seed=seed) for seed in range(6) for method in METHODS]
    pieces = len(names(Schedule(cells)))
    assert max(finishing_times(cells, 2).values()) <= pieces / 2 + 2


def test_a_thousand_clients_are_planned_in_a_moment(cell):
    cells = [cell("mosaic", n_clients=60), cell("ensemble", n_clients=60)]
    begun = time.perf_counter()
    assert len(names(Schedule(cells))) == 1 + 60 + 1 + 60 + 1 + 2
    each = (time.perf_counter() - begun) / 125
    assert each * 2000 < 30, "seconds of planning for 2,000 pieces, if they cost what these do"


def test_a_lost_stage_is_no_obstacle(cell):
    schedule = Schedule([cell("ensemble")])
    schedule.ended(schedule.take())
    assert name(schedule.take()) == "last_model"


def test_what_is_in_the_store_is_not_planned(cell, store):
    fedavg = cell("fedavg")
    Schedule([fedavg]).take().call()
    assert names(Schedule([fedavg])) == [*["last_model"] * 3, "warm_up", "fedavg"]


@pytest.mark.slow
def test_several_processes_write_the_records_of_one(cell, tmp_path):
    cells = [cell("fedavg"), cell("mosaic"), cell("local"), cell("mosaic", seed=1)]
    kept = ["method", "seed", "round", "accuracy", "upload_bytes", "flops", "status"]
    frames = []
    for jobs in (1, 2):
        session = Session(tmp_path / str(jobs))
        assert {o.status for o in run_cells(cells, session, jobs, lambda *_: None)} == {"done"}
        frame = load_records(session.folder("tiny"), cells)[kept]
        frames.append(frame.sort_values(kept[:3]).reset_index(drop=True))
    assert frames[0].equals(frames[1])


@pytest.mark.slow
def test_a_failing_stage_fails_its_cells_with_its_reason(cell, tmp_path):
    cells = [cell("ensemble", lr=1e30), cell("local")]
    outcomes = {o.cell.label: o for o in run_cells(cells, Session(tmp_path), 2, lambda *_: None)}
    assert outcomes["local"].status == "done" and outcomes["ensemble"].status == "failed"
    assert "diverged" in outcomes["ensemble"].notes[0]
