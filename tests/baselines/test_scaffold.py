"""SCAFFOLD: the control variates, the corrected gradients, and what they do to the clients'
drift.
"""

import dataclasses
import math

import pytest
import torch
from method_runs import (
    MIXED,
    gradients,
    run,
    some_batch,
    some_network,
)

from baselines import scaffold
from mosaic.fl.aggregation import average
from mosaic.fl.contract import Skip
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import train


def rounds_of_scaffold(task: Task, rounds: int) -> list[tuple[State, State, list[State]]]:
    server = initial_model(task.spec, task.seed)
    none = scaffold.no_controls(task, server)
    states = [(server, none, [none] * task.n_clients)]
    for t in range(1, rounds + 1):
        states.append(scaffold.one_round(task, *states[-1], t))
    return states


def test_scaffolds_first_round_is_fedavgs_to_the_bit_and_its_second_is_not(task, store):
    found, wanted = run("scaffold", task), run("fedavg", task)
    assert torch.equal(found[0], wanted[0]) and not torch.equal(found[1], wanted[1])


def test_control_variates_are_of_all_parameters_and_of_nothing_else(task):
    server = initial_model(task.spec, 0)
    none = scaffold.no_controls(task, server)
    assert none.keys() == {name for name in server if "running" not in name}


def test_the_correction_shifts_the_gradient_by_exactly_that(task):
    network, batch = some_network(task), some_batch(task)
    names = [name for name, _ in network.named_parameters()]
    shards, rng = open_federation(task).shards, torch.Generator().manual_seed(0)
    c, own_control = (
        {n: torch.randn(w.shape, generator=rng) for n, w in network.named_parameters()}
        for _ in range(2)
    )
    loss = scaffold.correct(shards[1], {}, c, [c, own_control, c])
    plain, found = gradients(cross_entropy, network, *batch), gradients(loss, network, *batch)
    assert all(
        torch.equal(found[name], plain[name] + (c[name] - own_control[name])) for name in names
    )


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_servers_control_variate_is_the_mean_of_the_clients(epochs, task, store):
    """With equal steps K it is also (x - x+) / (K lr): what the server's model itself did in the
    round.
    """
    task = dataclasses.replace(task, epochs=epochs)
    states = rounds_of_scaffold(task, 3)
    for (before, *_), (after, c, own) in zip(states, states[1:], strict=False):
        mean = average(own, open_federation(task).sizes)
        for name in c:
            assert torch.equal(c[name], mean[name])
            if not epochs:
                moved = (before[name] - after[name]) / (task.steps * task.lr)
                assert torch.allclose(c[name], moved, atol=2e-5), name


def test_a_clients_control_variate_is_its_mean_gradient_without_the_correction(task, store):
    """Option II: (x - y_i) / (K_i lr) - (c - c_i), where the client took K_i = 2 ceil(n_i / 16)
    steps from x to y_i.
    """
    task = dataclasses.replace(task, epochs=2)
    _, (server, c, own), (_, _, renewed) = rounds_of_scaffold(task, 2)
    for shard in open_federation(task).shards:
        loss, path = (
            scaffold.correct(shard, server, c, own),
            2 * math.ceil(shard.size / 16) * task.lr,
        )
        y = train(server, shard, task, round=2, loss=loss)
        for name, new in renewed[shard.client].items():
            wanted = (server[name] - y[name]) / path - (c[name] - own[shard.client][name])
            assert torch.allclose(new, wanted, atol=1e-6), name


def test_a_control_variate_by_hand(task, store):
    """One step, full batch, a classifier of zeros: all classes have p = 1/10, and the gradient of
    class y's bias is the mean of p - [label = y], which is 0.1 - the client's share of y. That is
    c_i; c is 0.1 - the share in all data.
    """
    task = dataclasses.replace(task, steps=1, batch_size=240, weight_decay=0.0, lr=0.5)
    server = {
        name: tensor * (0 if "linear" in name else 1)
        for name, tensor in federated_model(task, 0).items()
    }
    none, federation = scaffold.no_controls(task, server), open_federation(task)
    after, c, own = scaffold.one_round(task, server, none, [none] * 3, 1)
    for shard in federation.shards:
        wanted = 0.1 - shard.label_counts / shard.size
        assert torch.allclose(own[shard.client]["linear.bias"], wanted, atol=1e-6)
    pooled = 0.1 - federation.pool.label_counts / federation.pool.size
    assert torch.allclose(c["linear.bias"], pooled, atol=1e-6)
    assert torch.allclose(after["linear.bias"], -0.5 * pooled, atol=1e-6)


def test_with_one_step_a_round_there_is_no_drift_to_correct(task, store):
    """The corrections cancel in the average: SCAFFOLD is FedAvg, but for rounding."""
    task = dataclasses.replace(task, steps=1, rounds=5, score_every=5)
    assert torch.allclose(run("scaffold", task)[-1], run("fedavg", task)[-1], atol=1e-4)


def test_scaffold_brings_skewed_clients_updates_together(task, store):
    """That is what it is for: after the same round clients' models lie nearer to one another than
    FedAvg's.
    """
    task = dataclasses.replace(task, omega=0.05, rounds=4, steps=10)
    *_, (server, c, own), _ = rounds_of_scaffold(task, 4)
    none, spread = scaffold.no_controls(task, server), []
    for controls in ((c, own), (none, [none] * 3)):
        clients = [
            train(server, s, task, round=4, loss=scaffold.correct(s, server, *controls))
            for s in open_federation(task).shards
        ]
        mean = average(clients, open_federation(task).sizes)
        spread.append(
            sum(
                (client[name] - mean[name]).square().sum().item()
                for client in clients
                for name in c
            )
        )
    assert spread[0] < 0.7 * spread[1], spread


def test_scaffold_skips_mixed_widths_before_anything_is_trained(task):
    with opened(Account()) as account, pytest.raises(Skip, match="width"):
        next(scaffold.run(dataclasses.replace(task, widths=MIXED), scaffold.Config()))
    assert account.total().steps == {}
