"""What runs when: stages once and before those who need them, nobody idle, near the end the longest chain first."""

import dataclasses
import time

import pytest

from benchmarks.planning.cell import Cell
from benchmarks.planning.settings import configure
from benchmarks.running.processes import run_cells
from benchmarks.running.records import load_records
from benchmarks.running.schedule import Schedule, Stage, Work
from benchmarks.running.session import Session
from mosaic.fl.cache import use_cache
from mosaic.fl.task import Task

TASK = Task(
    n_train=240,
    n_clients=3,
    omega=1.0,
    rounds=2,
    score_every=1,
    steps=2,
    batch_size=16,
    base_width=4,
)


@pytest.fixture(autouse=True)
def no_store():
    yield
    use_cache(None)


def cell(method: str, **changes) -> Cell:
    config = configure(method, {"client": 0.001, "server": 0.001}, {})
    return Cell(
        "tiny",
        "quick",
        method,
        method,
        dataclasses.replace(TASK, **changes),
        config,
        "full",
        0.001,
        0.001,
        90,
    )


def names(schedule: Schedule, seconds: float = 1.0) -> list[str]:
    """What one worker would do, piece by piece."""
    done = []
    while work := schedule.take():
        done.append(name(work))
        schedule.ended(work, seconds)
    return done


def name(work: Work) -> str:
    return work.name if isinstance(work, Stage) else work.label


def test_a_stage_comes_once_and_before_the_cells_that_ask_for_it():
    order = names(Schedule([cell("fedavg"), cell("mosaic"), cell("fedprox"), cell("ensemble")]))
    assert sorted(order) == sorted(
        [*["warm_up"] * 2, "client_prototypes", *["last_model"] * 3, *["client_generator"] * 3]
        + ["fedavg", "mosaic", "fedprox", "ensemble"]
    )
    assert order.index("warm_up") < order.index("last_model") < order.index("fedavg")
    assert max(i for i, name in enumerate(order) if name == "client_generator") < order.index(
        "mosaic"
    )
    assert order.index("last_model") < order.index("ensemble")


def test_what_waits_for_a_running_stage_is_not_given_out():
    schedule = Schedule([cell("ensemble")])
    stage = schedule.take()
    assert stage.name == "warm_up" and schedule.take() is None and schedule
    schedule.ended(stage, 1.0)
    assert [name(schedule.take()) for _ in range(3)] == ["last_model"] * 3


def test_two_workers_train_a_methods_generators_side_by_side():
    schedule = Schedule([cell("mosaic")])
    for _ in range(5):  # warm_up, three times last_model, warm_up
        schedule.ended(schedule.take(), 1.0)
    side_by_side = [schedule.take() for _ in range(4)]
    assert sorted(map(name, side_by_side)) == ["client_generator"] * 3 + ["client_prototypes"]
    assert schedule.take() is None


def test_the_longest_chain_goes_first():
    """local takes 3 stages of 5 s, fedprox 1 s, fedrs 9 s: as soon as that is known, the long ones come first."""
    schedule = Schedule(
        [cell("fedprox", seed=s) for s in (0, 1)] + [cell("fedrs", seed=s) for s in (0, 1)]
    )
    took, order = {"fedprox": 1.0, "fedrs": 9.0}, []
    for first in ("fedprox", "fedrs"):  # one of each has run
        work = next(w for w in schedule.waiting.values() if w.label == first)
        schedule.ended(schedule.waiting.pop(work.key), took[first])
    while work := schedule.take():
        order.append(name(work))
        schedule.ended(work, took[name(work)])
    assert order == ["fedrs", "fedprox"]


def test_far_from_the_end_a_cell_that_can_run_goes_before_the_stages_of_others():
    schedule = Schedule([cell("ensemble", seed=seed) for seed in range(6)])
    order = names(schedule)
    a_cell = ["warm_up", "last_model", "last_model", "last_model", "ensemble"]
    assert order[:10] == a_cell * 2 and len(order) == 30


def test_a_thousand_clients_are_planned_in_a_moment():
    schedule, begun = (
        Schedule([cell("mosaic", n_clients=60), cell("ensemble", n_clients=60)]),
        time.perf_counter(),
    )
    assert len(names(schedule)) == 1 + 60 + 1 + 60 + 1 + 2
    each = (time.perf_counter() - begun) / 125
    assert each * 2000 < 30, "seconds of planning for 2,000 pieces, if they cost what these do"


def test_a_lost_stage_is_no_obstacle():
    schedule = Schedule([cell("ensemble")])
    schedule.ended(schedule.take())
    assert name(schedule.take()) == "last_model"


def test_what_is_in_the_store_is_not_planned(store):
    mine = cell("fedavg")
    Schedule([mine]).take().call()
    assert names(Schedule([mine])) == [*["last_model"] * 3, "warm_up", "fedavg"]


@pytest.mark.slow
def test_several_processes_write_the_records_of_one(tmp_path):
    cells = [cell("fedavg"), cell("mosaic"), cell("local"), cell("mosaic", seed=1)]
    kept = ["method", "seed", "round", "accuracy", "upload_bytes", "flops", "status"]
    frames = []
    for jobs in (1, 2):
        session = Session(tmp_path / str(jobs))
        assert {o.status for o in run_cells(cells, session, jobs, lambda *_: None)} == {"done"}
        frames.append(
            load_records(session.folder("tiny"), cells)[kept]
            .sort_values(kept[:3])
            .reset_index(drop=True)
        )
    assert frames[0].equals(frames[1])


@pytest.mark.slow
def test_a_failing_stage_fails_its_cells_with_its_reason(tmp_path):
    cells = [cell("ensemble", lr=1e30), cell("local")]
    outcomes = {o.cell.label: o for o in run_cells(cells, Session(tmp_path), 2, lambda *_: None)}
    assert outcomes["local"].status == "done" and outcomes["ensemble"].status == "failed"
    assert "diverged" in outcomes["ensemble"].notes[0]
