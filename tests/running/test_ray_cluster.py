"""Cells on a real Ray cluster of several nodes on this machine, one of which dies in the middle."""

import os
import re
import tempfile
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from benchmarks import tune
from benchmarks.planning.cell import Cell
from benchmarks.run import main
from benchmarks.running.processes import run_cells
from benchmarks.running.ray_cluster import (
    _node_folder,
    _run,
    cells_on_cluster,
    cells_on_ray,
    code,
    connected,
)
from benchmarks.running.records import done_file, load_records
from benchmarks.running.run_state import RunState
from benchmarks.running.session import Outcome, Session
from mosaic.fl.errors import InputError

MEASURED = re.compile("method_s|stage_s.*|cpu_s|pass_s|peak_memory_bytes|commit")


@pytest.fixture
def cell(tiny_cell):
    """Make a cell with two local steps per round: cell("fedavg", seed=1)."""

    def make(method: str, **changes) -> Cell:
        return tiny_cell(method, **{"steps": 2, "lr": 0.01} | changes)

    return make


def records(session: Session, cells: list[Cell]) -> pd.DataFrame:
    frame = load_records(session.folder("tiny"), cells)
    frame = frame.drop(columns=filter(MEASURED.fullmatch, frame.columns))
    return frame.sort_values(["cell", "round"]).reset_index(drop=True)


def in_this_process(cells: list[Cell], out) -> pd.DataFrame:
    assert {o.status for o in run_cells(cells, Session(out), 1, lambda *_: None)} == {"done"}
    return records(Session(out), cells)


@pytest.fixture(scope="module")
def cluster():
    utils = pytest.importorskip("ray.cluster_utils")
    # Ray's default, 15, starves workers beside other tests
    os.environ.update(RAY_worker_niceness="0")
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1, memory=3 * 2**30)
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_ends_with_the_same_records(cell, cluster, tmp_path):
    session = Session(tmp_path / "cluster")
    session.out.mkdir()
    cells = [cell("fedavg", seed=seed) for seed in range(6)] + [cell("mosaic", rounds=40)]
    spare = cluster.add_node(num_cpus=1, memory=3 * 2**30)
    outcomes = []
    for outcome in cells_on_ray(cells, session, cluster.address, lambda *_: None):
        if not outcomes:
            cluster.remove_node(spare, allow_graceful=False)
        outcomes.append(outcome)
    assert {o.cell.key for o in outcomes} == {c.key for c in cells} and {
        o.status for o in outcomes
    } == {"done"}
    pd.testing.assert_frame_equal(
        records(session, cells), in_this_process(cells, tmp_path / "alone")
    )
    assert not list(session.out.rglob(".ray-*"))


@pytest.mark.slow
def test_a_failing_cell_fails_alone(cell, cluster, tmp_path):
    session = Session(tmp_path)
    broken = cell("fedavg", lr=1e30)
    outcomes = {
        o.cell.key: o.status
        for o in cells_on_ray([broken, cell("local")], session, cluster.address, lambda *_: 0)
    }
    assert outcomes == {broken.key: "failed", cell("local").key: "done"}


@pytest.mark.slow
def test_a_node_that_does_not_see_the_folder_sends_the_files_back(cell, tmp_path, monkeypatch):
    """Its own folder has the record; the same bytes come back by name, the record last."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    token = tmp_path / "not here" / ".ray-test"
    mosaic = cell("mosaic")
    outcome, files = _run(mosaic, Session(tmp_path / "unseen"), token, code())
    assert outcome.status == "done" and not (tmp_path / "unseen").exists()
    names = list(files)
    assert names[-1] == f"cells/{mosaic.key}.jsonl" and f"pictures/{mosaic.key}.npz" in names
    expected = in_this_process([mosaic], tmp_path / "alone")
    folder = Session(tmp_path / "back").folder("tiny")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pd.testing.assert_frame_equal(records(Session(tmp_path / "back"), [mosaic]), expected)
    assert done_file(folder, mosaic).exists()


def test_a_node_removes_the_folders_of_runs_that_ended_long_ago(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, recent = _node_folder("old"), _node_folder("recent")
    (old / "cache").mkdir()
    os.utime(old, (0, 0))
    assert _node_folder("new").is_dir()
    assert recent.is_dir() and not old.exists()


def test_a_node_with_other_code_says_so(cell, tmp_path):
    outcome, files = _run(cell("local"), Session(tmp_path), tmp_path, "another hash")
    assert outcome.status == "failed" and "another version" in outcome.notes[0] and not files


@pytest.mark.slow
def test_local_starts_a_cluster_of_its_own_beside_one_that_runs(cluster):
    """Without an address Ray joins the newest cluster of the machine, whoever has started it."""
    with connected("local") as ray:
        assert len(ray.nodes()) == 1
        assert ray.get_runtime_context().gcs_address != cluster.address


def test_an_address_without_a_cluster_is_an_input_error(cell, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="no Ray cluster answers at '127.0.0.1:1'"):
        next(cells_on_ray([cell("local")], Session(tmp_path), "127.0.0.1:1", lambda *_: None))


def test_without_ray_the_flag_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    few = [
        "--methods",
        "local",
        "--omega",
        "1",
        "--seeds",
        "1",
        "--widths",
        "full",
        "--set",
        "task.rounds=1",
    ]
    assert main([*few, "--out", str(tmp_path), "--ray", "local"]) == 2
    assert "pip install 'mosaic-bench[cluster]'" in capsys.readouterr().err


@pytest.mark.slow
def test_trials_are_done_by_the_cluster(cluster, tmp_path):
    few = [
        f"--set=task.{text}" for text in ("rounds=1", "steps=2", "base_width=4", "score_every=1")
    ]
    more = [
        "--method",
        "fedprox",
        "--clients",
        "3",
        "--seeds",
        "1",
        "--stability-seeds",
        "0",
        "--study",
        "s",
    ]
    out = ["--out", str(tmp_path), "--ray", cluster.address]
    assert tune.main([*more, *few, *out, "--trials", "5"]) == 0
    trials = pd.read_csv(tmp_path / "tuning" / "s" / "trials.csv")
    assert trials["trial"].tolist() == list(range(5)) and set(trials["state"]) == {"complete"}
    assert not list((tmp_path / "tuning" / "s").glob(".ray-*"))


@pytest.mark.slow
def test_the_time_left_is_that_of_what_the_cluster_runs_at_once(cluster, tmp_path, monkeypatch):
    """Two nodes of one core, whatever --jobs is."""
    jobs = []

    def state(*given) -> RunState:
        jobs.append(given[-1])
        return RunState(*given)

    monkeypatch.setattr("benchmarks.running.suite_run.RunState", state)
    few = ["--methods=local", "--omega=1", "--clients=2", "--seeds=1", "--widths=full"]
    few += ["--set=task.rounds=1", "--set=task.steps=1", "--set=task.base_width=4"]
    out = [f"--out={tmp_path}", "--jobs=1", "--device=cpu"]
    assert main([*few, *out, "--ray", cluster.address]) == 0
    assert jobs == [2]


def test_of_the_cells_that_wait_on_a_cluster_only_those_that_it_has_room_for_are_shown(
    cell, tmp_path
):
    """All are submitted at once. What waits has not begun, so its time counts as time left."""
    cells = [cell("centralised", seed=seed) for seed in range(5)]
    numbers = iter(range(5))
    task = SimpleNamespace(remote=lambda *_: next(numbers))
    task.options = lambda **_: task
    cluster: Any = SimpleNamespace(
        remote=lambda _: task,
        wait=lambda running, num_returns: (running[:1], running[1:]),
        get=lambda number: (Outcome(cells[number], "done"), {}),
        exceptions=SimpleNamespace(RayError=RuntimeError),
    )
    shown = []
    outcomes = cells_on_cluster(
        cells, Session(tmp_path), cluster, 0, 2, lambda key, *_: shown.append(key)
    )
    counts = [len(shown) for _ in outcomes]
    assert counts == [2, 3, 4, 5, 5] and shown == [each.key for each in cells]
