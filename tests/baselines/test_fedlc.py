"""FedLC: the margins of a client's logits, and the rows of the classes that it lacks."""

import dataclasses
import math

import pytest
import torch
from method_runs import run
from torch import nn

from baselines import fedlc
from mosaic.fl.data.federation import open_federation
from mosaic.fl.stages import federated_model
from mosaic.fl.training.sgd import train


def test_the_margins_by_hand():
    """Counts 16, 1, 0: n^(-1/4) is 1/2, 1 and infinite."""
    found = fedlc.margins(torch.tensor([16, 1, 0]), tau=2.0)
    assert found.tolist() == [1.0, 2.0, math.inf]


def test_the_calibrated_softmax_by_hand():
    """Logits (1, 1 + log 3, 7) minus margins (0, 0, inf): the softmax is (1/4, 3/4, 0)."""
    logits = torch.tensor([[1.0, 1 + math.log(3), 7.0]], requires_grad=True)
    margins = torch.tensor([0.0, 0.0, math.inf])
    loss = fedlc.calibrated_cross_entropy(nn.Identity(), logits, torch.tensor([0]), margins)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)
    assert logits.grad[0].tolist() == pytest.approx([-0.75, 0.75, 0.0], rel=1e-6)


def test_with_every_class_equally_frequent_it_is_cross_entropy():
    logits, labels = (
        torch.randn(5, 3, generator=torch.Generator().manual_seed(0)),
        torch.arange(5) % 3,
    )
    margins = fedlc.margins(torch.tensor([7, 7, 7]), tau=1.0)
    found = fedlc.calibrated_cross_entropy(nn.Identity(), logits, labels, margins)
    torch.testing.assert_close(found, nn.functional.cross_entropy(logits, labels))


def test_the_rows_of_missing_classes_stay(task, store):
    """And those of the client's own classes move."""
    task = dataclasses.replace(task, omega=0.01, steps=2, weight_decay=0.0)
    server = federated_model(task, 0)
    shard = max(open_federation(task).shards, key=lambda s: int((s.label_counts == 0).sum()))
    missing = shard.label_counts == 0
    assert 0 < missing.sum() < 10
    trained = train(server, shard, task, round=1, loss=fedlc.calibrated(shard, server, tau=1.0))
    moved = (trained["linear.weight"] - server["linear.weight"]).norm(dim=1)
    assert (moved[missing] == 0).all()
    if (~missing).sum() > 1:
        assert (moved[~missing] > 0).all()


def test_it_runs_with_one_client_and_one_round(task, store):
    (logits,) = run("fedlc", dataclasses.replace(task, n_clients=1, rounds=1, score_every=1))
    assert logits.isfinite().all()
