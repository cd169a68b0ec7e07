"""FedProx: the pull towards the received model, its gradient, and what it does to clients."""

import dataclasses

import pytest
import torch
from method_runs import (
    MIXED,
    gradients,
    run,
    same,
    some_batch,
    some_network,
)

from baselines import fedprox
from mosaic.fl.data.federation import open_federation
from mosaic.fl.device import device
from mosaic.fl.models.live_network import live_network
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import train


def test_the_pull_and_its_gradient_by_hand(task):
    """w - anchor = (3, -4, 0, ...): mu/2 (9 + 16) = 1.25 at mu = 0.1, with gradient mu (w - anchor)
    = (0.3, -0.4).
    """
    network, (x, y) = some_network(task), some_batch(task)
    anchor = {
        name: tensor.clone() for name, tensor in live_network(task.spec, device()).state.items()
    }
    anchor["linear.bias"][:2] -= torch.tensor([3.0, -4.0])
    anchor["blocks.0.norm.running_mean"] += 100  # a statistic is no parameter: nothing pulls at it
    loss = fedprox.pulled(open_federation(task).shards[0], anchor, mu=0.1)
    assert (loss(network, x, y) - cross_entropy(network, x, y)).item() == pytest.approx(
        1.25, rel=1e-5
    )
    plain, found = gradients(cross_entropy, network, x, y), gradients(loss, network, x, y)
    pull = (found["linear.bias"] - plain["linear.bias"])[:3]
    assert torch.allclose(pull, torch.tensor([0.3, -0.4, 0.0]), atol=1e-6)
    assert all(
        torch.allclose(found[name], plain[name], atol=1e-6)
        for name in plain
        if name != "linear.bias"
    )


def test_fedproxs_first_step_has_no_pull(task, store):
    """At the received model the pull's gradient is 0: with one step a round FedProx is FedAvg,
    whatever mu.
    """
    task = dataclasses.replace(task, steps=1)
    assert same(run("fedprox", task, mu=5.0), run("fedavg", task))


@pytest.mark.parametrize("widths", [(), MIXED])
def test_fedprox_keeps_a_client_near_what_it_received(widths, task, store):
    task = dataclasses.replace(task, widths=widths, steps=8)
    shard, server = open_federation(task).shards[2], federated_model(task, 0)
    received = cut(server, task.layout, window(task.spec_at(shard.width), shift=1))
    far = []
    for mu in (0.0, 1.0, 10.0):
        loss = fedprox.pulled(shard, received, mu)
        trained = train(received, shard, task, round=1, width=shard.width, loss=loss)
        far.append(
            sum(
                (trained[n] - received[n]).square().sum().item()
                for n in trained
                if "running" not in n
            )
        )
    assert far[0] > far[1] > far[2] > 0


def test_a_pull_that_is_too_strong_is_an_error_that_says_what_to_lower(task, store):
    """lr mu = 5 above 2: each step throws the weights four times as far to the other side."""
    task = dataclasses.replace(task, steps=200)
    with pytest.raises(FloatingPointError, match="lower"):
        list(fedprox.run(task, fedprox.Config(mu=100.0)))
