"""MOON: its contrast by hand, and when a client has a last model to be compared with."""

import dataclasses
import math

import pytest
import torch
from method_runs import MIXED, run
from torch import nn

from baselines import moon
from mosaic.fl.contract import Skip
from mosaic.fl.data.federation import open_federation
from mosaic.fl.stages import federated_model
from mosaic.fl.training.losses import cross_entropy


class Turned(nn.Module):
    """Features (B, 2): the image's two values, turned by an angle. Its logits are all 0."""

    def __init__(self, angle: float):
        super().__init__()
        cos, sin = math.cos(angle), math.sin(angle)
        self.turn = torch.tensor([[cos, sin], [-sin, cos]])
        self.linear = nn.Linear(2, 4)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def features(self, x):
        return x @ self.turn


def loss(received: float, last: float, **settings) -> float:
    """The loss of a model at angle 0, the others at the given angles."""
    batch = torch.tensor([[3.0, 0.0]]), torch.tensor([1])
    config = moon.Config(**settings)
    return moon.contrastive(Turned(0), *batch, Turned(received), Turned(last), config).item()


def test_the_contrast_by_hand():
    """Features at angle 0, 90 degrees from the received and 180 from the last model's.

    Cosines 0 and -1, tau 0.5: the contrast is log(1 + exp(-2)); at the same angle it is log 2. The
    cross entropy of four equal logits is log 4.
    """
    found = loss(math.pi / 2, math.pi, mu=3.0)
    assert found == pytest.approx(math.log(4) + 3 * math.log(1 + math.exp(-2)), rel=1e-5)
    assert loss(1.0, 1.0, mu=3.0) == pytest.approx(math.log(4) + 3 * math.log(2), rel=1e-5)
    assert loss(1.0, 2.0, mu=0.0) == pytest.approx(math.log(4), rel=1e-5)


def test_a_client_without_a_last_model_trains_as_in_fedavg(task, store):
    server = federated_model(task, 0)
    shard = open_federation(task).shards[1]
    config = moon.Config()
    assert moon.contrasted(shard, server, task, config, last={0: server}) is cross_entropy
    assert moon.contrasted(shard, server, task, config, last={1: server}) is not cross_entropy


def test_the_first_round_and_mu_0_are_fedavg(task, store):
    once = dataclasses.replace(task, rounds=1, score_every=1)
    for ours, fedavgs in zip(run("moon", once), run("fedavg", once), strict=True):
        assert torch.equal(ours, fedavgs)
    for ours, fedavgs in zip(run("moon", task, mu=0.0), run("fedavg", task), strict=True):
        torch.testing.assert_close(ours, fedavgs, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(run("moon", task)[-1], run("fedavg", task)[-1], atol=1e-3)


def test_mixed_widths_are_skipped_and_one_client_is_enough(task, store):
    with pytest.raises(Skip, match="width 1"):
        run("moon", dataclasses.replace(task, widths=MIXED))
    assert run("moon", dataclasses.replace(task, n_clients=1))[-1].isfinite().all()
