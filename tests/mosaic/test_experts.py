"""Mosaic's experts: class-weighted means of the clients' models."""

from dataclasses import replace

import pytest
import torch

from mosaic.experts import class_experts, predictions
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.training.prediction import predictor
from mosaic.starting_models import gather


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_an_expert_whose_class_only_one_client_has_is_that_clients_model(task, store):
    counts = torch.zeros(3, 10, dtype=torch.int64)
    counts[0, 0], counts[1, 1], counts[2, 2] = 7, 3, 1
    experts, clients = experts_of(task, counts), final_client_models(task)
    assert all(same(experts[c], clients[c]) for c in range(3))


def test_the_expert_of_a_class_that_no_client_has_is_the_warm_up_model(task, store):
    counts = torch.zeros(3, 10, dtype=torch.int64)
    counts[:, 0] = 5
    experts, server = experts_of(task, counts), federated_model(task, task.rounds)
    assert len(experts) == 10 and all(same(expert, server) for expert in experts[1:])


def test_counts_in_proportion_to_the_sizes_make_the_expert_the_average(task, store):
    sizes = torch.tensor(open_federation(task).sizes)
    expert, server = (
        experts_of(task, sizes[:, None].expand(3, 10))[0],
        federated_model(task, task.rounds),
    )
    assert same(expert, server)


def test_a_narrow_clients_expert_keeps_the_servers_other_coordinates(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    counts = torch.eye(3, 10, dtype=torch.int64)
    experts, server, clients = (
        experts_of(task, counts),
        federated_model(task, task.rounds),
        final_client_models(task),
    )
    assert same(experts[0], clients[0])
    weight = "blocks.1.conv.weight"
    changed = (experts[2][weight] != server[weight]).sum()
    assert 0 < changed <= clients[2][weight].numel()
    assert sorted(
        experts[2][weight][experts[2][weight] != server[weight]].tolist()
    ) == pytest.approx(sorted(clients[2][weight].flatten().tolist()))


def test_an_expert_is_the_mean_of_the_clients_by_their_samples_of_its_class(task, store):
    """Counts 1, 0 and 3 of the class: (w_0 + 3 w_2) / 4."""
    counts = torch.zeros(3, 10, dtype=torch.int64)
    counts[:, 4] = torch.tensor([1, 0, 3])
    expert, clients = experts_of(task, counts)[4], final_client_models(task)
    for name in expert:
        assert torch.allclose(
            expert[name], (clients[0][name] + 3 * clients[2][name]) / 4, atol=1e-6
        ), name


def experts_of(task, counts):
    return class_experts(task, gather(task, "rounds"), counts)


def test_predictions_are_the_experts_logits_in_their_order(task):
    experts, images = [initial_model(task.spec, seed) for seed in range(3)], torch.zeros(2, 1, 8, 8)
    logits = predictions(experts, task, images)  # (B, E, K)
    assert logits.shape == (2, 3, 10)
    assert all(
        torch.equal(logits[:, e], predictor(expert, task)(images))
        for e, expert in enumerate(experts)
    )
