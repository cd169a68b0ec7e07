"""Task: what it refuses, and the reduced tasks that are keys of shared results."""

import math
from dataclasses import replace

import pytest

from mosaic.fl.data.federation import split
from mosaic.fl.device import choose_precision, use_device
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.keys import canonical
from mosaic.fl.task import Task, capacity_widths


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"epochs": -1}, "epochs is -1; it must be at least 0"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
        ({"lr": -0.1}, "lr is -0.1; it must be at least 0"),
        ({"lr": math.nan}, "lr is nan; it must be at least 0"),
        ({"momentum": -0.9}, "momentum is -0.9; it must be at least 0"),
        ({"weight_decay": -1e-4}, "weight_decay is -0.0001; it must be at least 0"),
        ({"model": "resnet"}, "unknown model 'resnet'; did you mean 'resnet18'"),
        ({"batch_norm": "none"}, "batch_norm is 'none'; possible: average, batch"),
        ({"precision": "fp16"}, "precision is 'fp16'; possible: fp32, bf16"),
        ({"validation": 1.0}, "validation is 1.0; it is a share"),
        ({"participation": 0.0}, "participation is 0.0; it is a share of the clients"),
        ({"widths": (1.0,), "n_clients": 2}, "1 widths for 2 clients; give one width per client"),
        ({"widths": (0.5, 1.5), "n_clients": 2}, r"width 1.5 is outside \(0, 1\]"),
    ],
)
def test_a_task_refuses_impossible_values(fields, message):
    with pytest.raises(InputError, match=message):
        Task(**fields)


def test_a_task_repairs_no_split_that_can_be_drawn():
    """At omega 0.01 a client of the first draw has too few of the digits."""
    task = Task(omega=0.01)
    assert split(task)[2].moved == 0
    assert split(replace(task, max_draws=1))[2].moved > 0


def test_a_task_without_clients_is_the_same_for_all_partitions():
    task = Task(omega=0.1, n_clients=2, widths=(1.0, 0.5))
    other = Task(omega=10.0, n_clients=20, law="client", min_samples=3)
    assert task.without_clients() == other.without_clients()
    assert task.without_clients() != replace(task, lr=0.5).without_clients()


def test_a_task_without_models_is_the_same_for_all_networks_and_all_training():
    task = Task(omega=0.5)
    other = replace(task, model="resnet18", lr=0.5, rounds=3, batch_norm="batch", participation=0.5)
    assert task.without_models() == other.without_models()
    assert task.without_models() != replace(task, omega=0.1).without_models()
    assert task.without_models() != replace(task, precision="bf16").without_models()


def test_all_reduced_tasks_keep_the_data():
    task = Task(data="0123456789abcdef")
    assert task.without_clients().data == task.without_models().data == task.data
    assert task.without_clients() != Task().without_clients()
    assert task.without_models() != Task().without_models()


def test_participation_is_in_a_key_only_if_it_is_not_all_clients():
    assert "participation" not in canonical(Task())
    assert "participation" in canonical(Task(participation=0.5))


def test_the_data_are_in_a_key_only_if_the_task_names_them():
    assert '"data"' not in canonical(Task())
    assert '"data":"0123456789abcdef"' in canonical(Task(data="0123456789abcdef"))


def test_a_client_without_a_width_of_its_own_has_the_whole_model():
    assert Task().width(3) == 1.0 and Task().full_width
    narrow = Task(n_clients=2, widths=(1.0, 0.5))
    assert narrow.width(1) == 0.5 and not narrow.full_width
    assert narrow.spec_at(narrow.width(1)).width == 0.5


def test_every_score_every_th_round_and_the_last_are_scored():
    task = Task(rounds=25, score_every=10)
    assert [t for t in range(1, 26) if task.scored(t)] == [10, 20, 25]


def test_capacity_widths_by_hand():
    """rho 5, sigma 2, N 5: min(2, floor(k)) halvings for k = 1..5."""
    assert capacity_widths(5, rho=5, sigma=2) == (0.5, 0.25, 0.25, 0.25, 0.25)
    assert capacity_widths(4, rho=2, sigma=3) == (1.0, 0.5, 0.5, 0.25)
    assert capacity_widths(3, rho=0, sigma=3) == (1.0, 1.0, 1.0)


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all_known_ones():
    error = did_you_mean("method", "fedavgg", ["mosaic", "fedavg"])
    assert str(error) == "unknown method 'fedavgg'; did you mean 'fedavg'? Known: fedavg, mosaic."
    error = did_you_mean("method", "xyz", ["mosaic", "fedavg"])
    assert str(error) == "unknown method 'xyz'. Known: fedavg, mosaic."


def test_an_unknown_device_or_precision_is_refused():
    with pytest.raises(InputError, match="unknown device 'tpu'; possible: auto, cpu, cuda"):
        use_device("tpu")
    with pytest.raises(InputError, match="unknown precision 'fp16'; possible: auto, fp32, bf16"):
        choose_precision("fp16")
    assert choose_precision("bf16") == "bf16" and choose_precision("auto") in ("fp32", "bf16")
