"""FedAvg: the plain loop, its weights, and its network where widths differ."""

import dataclasses
from pathlib import Path

import pytest
import torch
from contract_runs import images, logits_of

from baselines import (
    fedavg,
)
from benchmarks.planning.axes import widths_of
from benchmarks.planning.budget import spent
from benchmarks.planning.scales import SCALES
from mosaic.fl import rounds
from mosaic.fl.aggregation import average
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.registry import scaled_channels
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train


def test_fedavg_is_the_plain_loop(task, store):
    """McMahan et al., Algorithm 1, written out: the stages' bookkeeping changes no bit of it."""
    task = dataclasses.replace(task, rounds=5, score_every=2)
    federation, server = open_federation(task), initial_model(task.spec, task.seed)
    for t in range(1, 6):
        clients = [train(server, shard, task, round=t) for shard in federation.shards]
        server = average(clients, federation.sizes)
    found = federated_model(task, 5)
    assert all(torch.equal(found[name], server[name]) for name in server)
    assert all(
        torch.equal(a[name], b[name])
        for a, b in zip(final_client_models(task), clients, strict=True)
        for name in server
    )


def test_fedavg_with_equal_weights_is_the_plain_mean_round_by_round(task, store):
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        server = average(list(rounds.client_updates(task, server, t)), [1] * task.n_clients)
    snapshot = list(fedavg.run(task, fedavg.Config(weights="equal")))[-1]
    assert torch.equal(logits_of(snapshot)[0], predictor(server, task)(images()))
    assert not torch.equal(
        logits_of(snapshot), logits_of(list(fedavg.run(task, fedavg.Config()))[-1])
    )


def test_fedavgs_last_average_is_over_the_local_models(task, store):
    mean, server = (
        average(final_client_models(task), open_federation(task).sizes),
        federated_model(task, task.rounds),
    )
    assert all(torch.equal(mean[name], server[name]) for name in server)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_fedavg_at_mixed_widths_is_the_narrowest_clients_model(scale, model):
    """At every base width that a scale has, for both laws of widths: 1/4, and 1/16 of DFRD's rho =
    5, sigma = 4.
    """
    base = SCALES[scale].task["base_width"]
    for widths in (widths_of("mixed", 10), widths_of("rho=5,sigma=4", 10)):
        task = Task(n_clients=10, widths=widths, base_width=base, model=model)
        of_all, of_narrowest = fedavg.at_smallest_width(task).spec, task.spec_at(min(widths))
        assert [scaled_channels(of_all, f"c{i}") for i in (1, 2, 3, 4)] == [
            scaled_channels(of_narrowest, f"c{i}") for i in (1, 2, 3, 4)
        ]


def test_the_loop_in_the_file_is_what_the_cached_stage_computes(task, store):
    task = dataclasses.replace(task, rounds=3, score_every=2)
    cached = list(fedavg.run(task, fedavg.Config()))
    plain = list(fedavg.fedavg(task, equal=False))
    for a, b in zip(cached, plain, strict=True):
        assert a.round == b.round and torch.equal(logits_of(a), logits_of(b))


def test_the_example_in_plain_pytorch_learns_the_digits(monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from examples.fedavg_plain import main

    with torch.random.fork_rng(devices=[]):
        accuracies = main(rounds=8)
    assert len(accuracies) == 8 and accuracies[-1] > 0.5  # chance is 0.1
    assert len(capsys.readouterr().out.splitlines()) == 8


@pytest.mark.parametrize("weights", ["sizes", "equal"])
def test_twice_the_local_work_is_a_task_with_twice_the_steps(weights, task, store):
    config = fedavg.Config(weights=weights, local=2)
    twice = dataclasses.replace(task, steps=2 * task.steps)
    *_, found = fedavg.run(task, config)
    *_, wanted = fedavg.run(twice, fedavg.Config(weights=weights))
    assert torch.equal(found.predict(images()), wanted.predict(images()))

    spends = spent("fedavg", task, config)
    assert spends["client"] == pytest.approx(1) and spends["server"] == 0


@pytest.mark.parametrize("width", [0.4, 0.3, 0.49, 0.25, 0.1])
@pytest.mark.parametrize("base", [20, 30, 32])
def test_fedavg_is_never_wider_than_the_narrowest_client(width, base):
    """Sub-models round each group up: 0.4 x 256 is 103, and eight times 13 is 104."""
    task = Task(n_clients=2, widths=(1.0, width), base_width=base, model="resnet18")
    of_all, of_narrowest = fedavg.at_smallest_width(task).spec, task.spec_at(width)
    groups = [f"c{i}" for i in (1, 2, 3, 4)]
    found = [scaled_channels(of_all, group) for group in groups]
    most = [scaled_channels(of_narrowest, group) for group in groups]
    assert all(n <= limit for n, limit in zip(found, most, strict=True))
    next_base = dataclasses.replace(task, widths=(), base_width=found[0] + 1).spec
    assert any(scaled_channels(next_base, g) > n for g, n in zip(groups, most, strict=True))
