"""Heads of models: copies, replacement, and training by hand."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import Tensor

from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.heads import features_of_clients, head_of, retrained, with_head
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import predictor


def test_a_head_reads_features_as_the_model_does_and_every_client_downloads_it(task, store):
    model = federated_model(task, task.rounds)
    with opened(Account()) as account:
        for shard, embedded, labels in features_of_clients(task):
            assert len(embedded) == len(labels) == shard.size
            images = normalise(shard.images[shard.indices])
            torch.testing.assert_close(head_of(model)(embedded), predictor(model, task)(images))
    assert account.own.download == {"model": task.n_clients * n_bytes(model)}


def test_narrow_clients_embed_with_the_whole_model(task, store):
    mixed = dataclasses.replace(task, widths=(1.0, 0.5, 0.25), batch_norm="batch")
    assert {embedded.shape[1] for _, embedded, _ in features_of_clients(mixed)} == {16}


def test_an_embedding_does_not_depend_on_the_clients_other_images(task, store, monkeypatch):
    """At mixed widths too, where models are scored with the statistics of a batch."""
    task = dataclasses.replace(task, batch_norm="batch")
    _, of_all, _ = next(features_of_clients(task))
    federation = open_federation(task)
    shard = federation.shards[0]
    fewer = dataclasses.replace(shard, indices=shard.indices[:10])
    federation = dataclasses.replace(federation, shards=(fewer,))
    monkeypatch.setattr("mosaic.fl.heads.open_federation", lambda task: federation)
    [(_, of_fewer, _)] = features_of_clients(task)
    torch.testing.assert_close(of_fewer, of_all[:10])


def model_of(weight: list[list[float]], bias: list[float]) -> dict[str, Tensor]:
    body = torch.ones(2)
    return {"body": body, "linear.weight": torch.tensor(weight), "linear.bias": torch.tensor(bias)}


def test_with_head_replaces_the_head_alone():
    model = model_of([[0.0], [0.0]], [0.0, 0.0])
    found = with_head(model, torch.tensor([[1.0], [2.0]]).double(), torch.tensor([3.0, 4.0]))
    assert found["body"] is model["body"] and found["linear.weight"].dtype == torch.float32
    assert found["linear.weight"].tolist() == [[1.0], [2.0]]
    assert model["linear.weight"].tolist() == [[0.0], [0.0]]


def test_a_step_by_hand():
    """Two equal logits, label 0, feature 2: p - y is (-1/2, 1/2), and lr 1 subtracts all of it."""
    model = model_of([[0.0], [0.0]], [0.0, 0.0])
    batches = [(torch.tensor([[2.0]]), torch.tensor([0]))]
    with opened(Account()) as account:
        found = retrained(model, batches, partial(torch.optim.SGD, lr=1.0))
    assert found["linear.weight"].flatten().tolist() == pytest.approx([1.0, -1.0])
    assert found["linear.bias"].tolist() == pytest.approx([0.5, -0.5])
    assert account.own.steps == {"head": 1} and account.own.flops > 0


def test_weights_that_are_not_finite_are_an_error():
    model = model_of([[0.0], [0.0]], [0.0, 0.0])
    batches = [(torch.tensor([[float("inf")]]), torch.tensor([0]))]
    with pytest.raises(FloatingPointError, match="lower its learning rate"):
        retrained(model, batches, partial(torch.optim.SGD, lr=1.0))


def test_labels_are_those_of_the_shard(task, store):
    for shard, _, labels in features_of_clients(task):
        assert labels.bincount(minlength=10).tolist() == shard.label_counts.tolist()
    assert len(open_federation(task).shards) == task.n_clients


def test_biases_that_are_not_finite_are_an_error():
    model = model_of([[0.0], [0.0]], [0.0, 0.0])
    batches = [(torch.tensor([[2.0]]), torch.tensor([0]))]

    def of_biases_alone(parameters):
        _, bias = parameters
        return torch.optim.SGD([bias], lr=float("inf"))

    with pytest.raises(FloatingPointError, match="lower its learning rate"):
        retrained(model, batches, of_biases_alone)
