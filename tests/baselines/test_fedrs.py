"""FedRS: the factors of a client's logits, and the rows of the classes that it lacks."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from baselines import fedrs
from mosaic.fl.data.federation import open_federation
from mosaic.fl.stages import federated_model
from mosaic.fl.training.sgd import train


def test_the_factors_by_hand():
    """Counts 8, 2, 0 at alpha 0.5: 1, 1, 0.5; by the code 0.5 + 0.5 n / 8: 1, 0.625, 0.5."""
    counts = torch.tensor([8, 2, 0])
    assert fedrs.factors(counts, fedrs.Config()).tolist() == [1.0, 1.0, 0.5]
    assert fedrs.factors(counts, fedrs.Config(scaling="share")).tolist() == [1.0, 0.625, 0.5]
    assert fedrs.factors(counts, fedrs.Config(alpha=1.0, scaling="share")).tolist() == [
        1.0,
        1.0,
        1.0,
    ]
    assert fedrs.factors(counts, fedrs.Config(alpha=0.9)).tolist() == pytest.approx([1.0, 1.0, 0.9])


def test_the_restricted_softmax_by_hand():
    """Logits (0, 2 log 3), label 0, factors (1, 0.5): softmax of (0, log 3) is (1/4, 3/4), the loss
    log 4.

    The gradient of a logit is its factor times (p - label): -3/4, and 0.5 x 3/4 = 3/8.
    """
    logits = torch.tensor([[0.0, 2 * math.log(3)]], requires_grad=True)
    factors = fedrs.factors(torch.tensor([5, 0]), fedrs.Config())
    loss = fedrs.restricted_cross_entropy(nn.Identity(), logits, torch.tensor([0]), factors)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)
    assert logits.grad[0].tolist() == pytest.approx([-0.75, 0.375], rel=1e-6)


def test_fedrs_moves_the_rows_of_missing_classes_less(task, store):
    """That is what it is for. A client's own classes are those that it has samples of."""
    task = dataclasses.replace(task, omega=0.01, steps=1, weight_decay=0.0)
    server, moved = federated_model(task, 0), []
    shard = max(
        open_federation(task).shards, key=lambda shard: int((shard.label_counts == 0).sum())
    )
    missing = shard.label_counts == 0
    assert 0 < missing.sum() < 10
    for alpha in (1.0, 0.5, 0.0):
        loss = fedrs.restricted(shard, server, fedrs.Config(alpha=alpha))
        trained = train(server, shard, task, round=1, loss=loss)
        moved.append((trained["linear.bias"] - server["linear.bias"])[missing].norm().item())
    assert moved[0] > 1.5 * moved[1] > moved[2] == 0
