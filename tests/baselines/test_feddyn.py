"""FedDyn: its loss by hand, its two sums, and clients that take no part."""

import dataclasses

import pytest
import torch
from method_runs import MIXED, gradients, run, some_batch, some_network
from torch import nn

from baselines import feddyn
from mosaic.fl.contract import Skip
from mosaic.fl.data.federation import open_federation
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import train


def test_the_loss_by_hand():
    """One weight v = 3, w = 1, h = 0.5, a = 0.1: the terms are 0.15 and 0.2, the gradient 0.25."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(3.0)
    images, labels = torch.zeros(1, 1), torch.tensor([0])  # one class: no cross entropy
    state = {
        "anchor": {"weight": torch.tensor([[1.0]])},
        "moved": {"weight": torch.tensor([[0.5]])},
    }
    loss = feddyn.regularised(model, images, labels, **state, strength=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0.35)
    assert model.weight.grad.item() == pytest.approx(0.25)


def test_the_gradient_is_cross_entropys_plus_a_times_move_and_distance(task, store):
    network, batch = some_network(task), some_batch(task)
    anchor = federated_model(task, 0)
    moved = {name: torch.ones_like(w) for name, w in network.named_parameters()}
    plain = gradients(cross_entropy, network, *batch)
    found = gradients(
        lambda *given: feddyn.regularised(*given, anchor=anchor, moved=moved, strength=0.5),
        network,
        *batch,
    )
    for name, w in network.named_parameters():
        wanted = plain[name] + 0.5 * (1 + w - anchor[name])
        torch.testing.assert_close(found[name], wanted.detach(), atol=1e-5, rtol=1e-4)


def test_a_first_round_goes_twice_as_far_as_the_mean_of_its_clients(task, store):
    """w + 2 mean(w_k - w): the moves of the round are in both means."""
    server = federated_model(task, 0)
    shards = open_federation(task).shards
    none = [feddyn.no_moves(task, server)] * task.n_clients
    found, moved = feddyn.one_round(task, server, none, alpha=0.01, t=1)
    models = []
    for shard in shards:
        loss = feddyn.corrected(shard, server, task, none, alpha=0.01)
        models.append(train(server, shard, task, round=1, loss=loss))
    for name in moved[0]:
        moves = torch.stack([model[name] - server[name] for model in models])
        torch.testing.assert_close(found[name], server[name] + 2 * moves.mean(0))
        torch.testing.assert_close(torch.stack([h[name] for h in moved]), moves)
    # BatchNorm's statistics are the plain mean, and never negative
    for name in server.keys() - moved[0].keys():
        mean = torch.stack([model[name] for model in models]).mean(0)
        torch.testing.assert_close(found[name], mean)


def test_a_small_clients_strength_is_larger(task, store):
    """alpha times the mean size over its own; on average over samples it is alpha."""
    server = federated_model(task, 0)
    none = [feddyn.no_moves(task, server)] * task.n_clients
    shards = open_federation(task).shards
    strengths = [
        feddyn.corrected(shard, server, task, none, alpha=0.01).keywords["strength"]
        for shard in shards
    ]
    sizes = [shard.size for shard in shards]
    products = [size * strength for size, strength in zip(sizes, strengths, strict=True)]
    assert products == pytest.approx([0.01 * sum(sizes) / len(sizes)] * len(sizes))


def test_clients_that_take_no_part_keep_their_moves(task, store):
    task = dataclasses.replace(task, n_clients=5, participation=0.4)
    server = federated_model(task, 0)
    moved = [feddyn.no_moves(task, server)] * 5
    server, once = feddyn.one_round(task, server, moved, alpha=0.01, t=1)
    _, twice = feddyn.one_round(task, server, once, alpha=0.01, t=2)
    present = {shard.client for shard in participants(task, 2)}
    assert 0 < len(present) < 5
    for client in range(5):
        assert (twice[client] is once[client]) == (client not in present)


def test_mixed_widths_are_skipped_and_one_client_is_enough(task, store):
    with pytest.raises(Skip, match="width 1"):
        run("feddyn", dataclasses.replace(task, widths=MIXED))
    alone = dataclasses.replace(task, n_clients=1, rounds=1, score_every=1)
    assert run("feddyn", alone)[0].isfinite().all()
