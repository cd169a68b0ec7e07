"""FENS: the division of a client's data, FedAdam by hand, what is sent, and the ensemble."""

import dataclasses
from functools import partial

import pytest
import torch
from method_runs import MIXED, cost_of, images, run

from baselines import fens
from mosaic.fl.channel import n_bytes
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import mean_logits, teachers_of

run_short = partial(run, "fens", aggregator_rounds=3)


@pytest.mark.parametrize("n, rest", [(1, 1), (2, 1), (14, 1), (15, 2), (100, 10)])
def test_a_clients_data_in_two_by_hand(n, rest, task):
    shard = open_federation(dataclasses.replace(task, n_clients=1)).pool
    shard = dataclasses.replace(shard, indices=shard.indices[:n])
    larger, smaller = fens.divided(shard, 0.1, seed=0)
    assert (larger.size, smaller.size) == (max(1, n - 1) if n < 15 else n - rest, rest)
    both = torch.cat([larger.indices, smaller.indices]).unique()
    assert torch.equal(both, shard.indices.unique())
    assert larger.label_counts.sum() == larger.size and smaller.label_counts.sum() == rest


def test_a_step_of_fedadam_by_hand():
    """A first move of 0.2: m = 0.02, sqrt(v) = 0.02, so the step is lr 0.02 / 0.021."""
    zero = torch.zeros(1)
    server, moments = fens.adam_step(
        {"w": torch.ones(1)}, {"w": torch.tensor([1.2])}, {"w": (zero, zero)}, lr=0.1
    )
    assert server["w"].item() == pytest.approx(1 + 0.1 * 0.02 / 0.021, rel=1e-5)
    # A second move of 0: m = 0.018, v = 0.0004 x 0.99
    server, _ = fens.adam_step({"w": torch.ones(1)}, {"w": torch.ones(1)}, moments, lr=0.1)
    assert server["w"].item() == pytest.approx(1 + 0.1 * 0.018 / (0.0199 + 0.001), rel=1e-3)


def test_the_aggregator_learns_which_of_two_models_is_right(task):
    """The first model's logits are the labels', the second's those of other classes."""
    task = dataclasses.replace(task, n_clients=2)
    labels = torch.arange(200) % 10
    right = 5.0 * torch.nn.functional.one_hot(labels, 10)
    samples = [(torch.cat([right, right.roll(3, 1)], 1), labels)] * 2
    config = fens.Config(hidden=10, server_lr=0.05, aggregator_rounds=80)
    aggregator, losses = fens.trained_aggregator(task, config, samples)
    assert losses[-1] < 0.1 * losses[0]
    assert (aggregator(samples[0][0]).argmax(1) == labels).float().mean() > 0.95


def test_what_is_sent(task, store):
    """Models up each round and N to each client at the end; the aggregator 500 times both ways.

    The aggregator of N = 3 clients and K = 10 classes: 30 x 6 + 6 and 6 x 10 + 10 weights.
    """
    cost, n = cost_of("fens", task), task.n_clients
    model = n_bytes(initial_model(task.spec, 0))
    aggregator = 500 * n * 4 * (30 * 6 + 6 + 6 * 10 + 10)
    assert cost.upload == {"model": task.rounds * n * model, "aggregator": aggregator}
    assert cost.download == {
        "model": task.rounds * n * model + n * n * model,
        "aggregator": aggregator,
    }
    assert cost.steps["aggregator"] == 500 * n


def test_the_models_never_see_the_rest_of_the_data(task, store):
    """They are trained on the larger parts alone, and are the ensemble's members."""
    shards = open_federation(task).shards
    larger = [fens.divided(shard, 0.1, task.seed)[0] for shard in shards]
    models = fens.client_models(task, larger)
    (snapshot,) = fens.run(task, fens.Config(aggregator_rounds=1))
    wanted = mean_logits(teachers_of(task, models), images(), task)
    assert torch.equal(snapshot.probes["ensemble"](images()), wanted)
    again = fens.client_models(task, [fens.part_of(s, torch.arange(s.size)) for s in shards])
    assert not torch.equal(again[0]["linear.weight"], models[0]["linear.weight"])


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": MIXED, "batch_norm": "batch"},
        {"n_clients": 1, "rounds": 1},
        {"participation": 0.4, "omega": 0.01},
    ],
)
def test_mixed_widths_one_client_and_clients_without_some_classes(changes, task, store):
    assert run_short(dataclasses.replace(task, **changes))[-1].isfinite().all()


def test_an_embedding_does_not_depend_on_the_clients_other_images(task, store, monkeypatch):
    """At mixed widths too, where models are scored with the statistics of a batch."""
    task = dataclasses.replace(task, widths=MIXED, batch_norm="batch")
    shards = open_federation(task).shards
    models = fens.client_models(task, [fens.divided(s, 0.1, task.seed)[0] for s in shards])
    found = []

    def keep(task, config, samples):
        found.extend(samples)
        return fens.new_aggregator(task, config), [0.0]

    monkeypatch.setattr(fens, "trained_aggregator", keep)
    list(fens.run(task, fens.Config()))
    for shard, (logits, _) in zip(shards, found, strict=True):
        _, rest = fens.divided(shard, 0.1, task.seed)
        for image, wanted in zip(rest.images[rest.indices], logits, strict=True):
            running = dataclasses.replace(task, batch_norm="average")
            of_all = [
                predictor(model, running, width)(normalise(image[None]))[0]
                for model, width in zip(models, MIXED, strict=True)
            ]
            torch.testing.assert_close(wanted, torch.cat(of_all))
