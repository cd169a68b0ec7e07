"""Stages: reading a result from the cache is the same as computing it."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from example_stages import Config, call, identical, model, weights

from mosaic.fl.cache import computed_stages, stage, use_cache, watch_stages
from mosaic.fl.keys import stage_key
from mosaic.fl.stages import federated_model


def test_a_result_from_the_cache_equals_the_computed_one(store, computed):
    first = call(model, Config())[0]
    second = call(model, Config())[0]
    assert computed == ["model", "weights"]
    assert identical(first, second)


def test_without_a_cache_a_stage_is_computed_each_time_to_the_same_result(store, computed):
    stored = model(Config())
    use_cache(None)
    assert identical(model(Config()), stored)
    assert computed == ["model", "weights"] * 2


SCRIPT = """
import tempfile, sys
tempfile.tempdir = sys.argv[1]
from mosaic.fl.cache import watch_stages
from mosaic.fl.stages import final_client_models
from mosaic.fl.task import Task

started = []
watch_stages(started.append)
task = Task(n_clients=3, rounds=4, score_every=1, steps=1, base_width=4)
final_client_models(task)
final_client_models(task)
print(started.count("warm_up"), started.count("last_model"))
"""


def test_a_script_that_chooses_no_cache_trains_each_round_once_and_leaves_no_file(tmp_path):
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    # The initial model and those after rounds 1 to 3; the last round of three clients
    assert printed.split() == ["4", "3"]
    assert not list(tmp_path.iterdir())


def test_the_callers_random_state_is_left_alone_whether_a_stage_is_computed_or_read(store):
    torch.manual_seed(7)
    untouched = torch.get_rng_state()
    for _ in range(2):
        assert torch.equal(call(model, Config())[2], untouched)


def test_a_stage_does_not_depend_on_the_callers_random_state(store):
    torch.manual_seed(1)
    first = model(Config())
    use_cache(None)
    torch.manual_seed(2)
    assert identical(model(Config()), first)


def test_equal_arguments_share_a_result_however_they_are_passed(store, computed):
    results = [
        weights(Config(3)),
        weights(Config(size=3, scale=1.0), 0.0),
        weights(config=Config(), bias=0.0),
    ]
    assert computed == ["weights"]
    assert identical(results[0], results[1]) and identical(results[0], results[2])


def test_other_arguments_have_another_result(store, computed):
    weights(Config())
    weights(Config(), 1.0)
    weights(Config(4))
    assert computed == ["weights"] * 3
    assert weights.is_cached(Config(4)) and not weights.is_cached(Config(5))


def test_a_new_version_has_a_new_result(store):
    @stage(version=1, name="answer")
    def old() -> int:
        return 41

    @stage(version=2, name="answer")
    def new() -> int:
        return 42

    assert (old(), new(), old()) == (41, 42, 41)


def test_a_stage_sees_of_a_task_only_what_it_declares(store):
    seen = []

    @stage(version=1, sees=lambda task: task["data"])
    def partial_view(task) -> int:
        seen.append(task)
        return 1

    partial_view({"data": 5, "lr": 0.1})
    partial_view({"data": 5, "lr": 0.2})
    assert seen == [5]
    assert partial_view.key_of({"data": 5}) == stage_key("partial_view", 1, {"task": 5})


def test_a_watcher_is_told_what_is_computed_and_not_what_is_read(store):
    watched = []
    watch_stages(watched.append)
    try:
        model(Config())
        model(Config())
    finally:
        watch_stages(None)
    assert watched == ["model", "weights"]


def test_computed_stages_are_collected_by_name_and_key_in_the_innermost_block(store):
    key = f"weights/{weights.key_of(Config())}"
    with computed_stages() as outer:
        with computed_stages() as inner:
            weights(Config())
        weights(Config())
        assert inner == {key} and outer == set()
        weights(Config(4))
    assert outer == {f"weights/{weights.key_of(Config(4))}"}


def test_the_folder_of_the_cache_is_not_a_part_of_a_key(store, tmp_path):
    key = weights.key_of(Config())
    use_cache(tmp_path / "elsewhere")
    assert weights.key_of(Config()) == key
    assert key == stage_key("weights", 1, {"config": Config(), "bias": 0.0})


# Several processes


def test_a_stage_is_pickled_by_its_name(task):
    assert pickle.loads(pickle.dumps(federated_model)) is federated_model


@stage(version=1)
def slow_weights(log: str) -> dict:
    with open(log, "a") as lines:
        lines.write(f"{os.getpid()}\n")
    time.sleep(0.5)
    return {"weight": torch.randn(4)}


def compute_in_process(folder, log, start, results) -> None:
    use_cache(folder)
    start.wait()
    results.put(slow_weights(str(log))["weight"].tolist())


def test_two_processes_that_need_the_same_stage_compute_it_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    results = spawn.Queue()
    log = tmp_path / "log"
    args = (tmp_path / "store", log, start, results)
    processes = [spawn.Process(target=compute_in_process, args=args) for _ in range(2)]

    for process in processes:
        process.start()
    received = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)

    assert received[0] == received[1]
    assert len(log.read_text().splitlines()) == 1
    assert [process.exitcode for process in processes] == [0, 0]


def test_a_stage_that_fails_leaves_nothing_and_can_be_called_again(store):
    attempts = []

    @stage(version=1)
    def fails_once() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise FloatingPointError("no")
        return 1

    with pytest.raises(FloatingPointError):
        fails_once()
    assert not fails_once.is_cached()
    assert fails_once() == 1
