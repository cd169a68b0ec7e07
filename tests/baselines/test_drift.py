"""The methods that change FedAvg's local training or its average: where they are FedAvg, and what sets them apart."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from baselines import ensemble, fedbn, fedprox, fedrs, heterofl, scaffold
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import METHODS
from benchmarks.planning.suite import read_suite
from mosaic.fl.aggregation import average
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.costs import Account, Cost, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import device
from mosaic.fl.models.live_network import initial_model, layout_of, live_network
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.submodel import cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

MIXED = (1.0, 0.5, 0.25)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


def logits_of(snapshot: Snapshot) -> torch.Tensor:
    """Logits (M, B, K) of the snapshot's M models."""
    models = [snapshot.predict] if callable(snapshot.predict) else snapshot.predict
    return torch.stack([predict(images()) for predict in models])


def run(name: str, task: Task, **settings) -> list[torch.Tensor]:
    """The logits of each snapshot of a method."""
    method = METHODS[name]
    return [logits_of(snapshot) for snapshot in method.run(task, method.Config(**settings))]


def same(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def cost_of(name: str, task: Task) -> Cost:
    with opened(Account()) as account:
        list(METHODS[name].run(task, METHODS[name].Config()))
    return account.total()


def gradients(loss, network: nn.Module, *batch) -> dict[str, torch.Tensor]:
    network.zero_grad()
    loss(network, *batch).backward()
    return {name: w.grad.clone() for name, w in network.named_parameters()}


def some_batch(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    pool = open_federation(task).pool
    return normalise(pool.images[pool.indices[:16]]), pool.labels[pool.indices[:16]]


def some_network(task: Task) -> nn.Module:
    home = live_network(task.spec, device())
    home.load(initial_model(task.spec, 7))
    return home.training()


# Where they are FedAvg


@pytest.mark.parametrize("widths", [(), MIXED])
@pytest.mark.parametrize("name, settings", [("fedprox", {"mu": 0.0}), ("fedrs", {"alpha": 1.0})])
def test_without_its_own_term_a_method_is_fedavg_to_the_bit(name, settings, widths, task, store):
    """And FedRolex at mixed widths."""
    task = dataclasses.replace(task, widths=widths)
    assert same(run(name, task, **settings), run("fedrolex", task))


@pytest.mark.parametrize("name", ["fedprox", "fedrs"])
def test_with_its_own_term_it_is_not(name, task, store):
    task = dataclasses.replace(task, omega=0.1)
    assert not same(run(name, task), run("fedavg", task))


def test_scaffolds_first_round_is_fedavgs_to_the_bit_and_its_second_is_not(task, store):
    found, wanted = run("scaffold", task), run("fedavg", task)
    assert torch.equal(found[0], wanted[0]) and not torch.equal(found[1], wanted[1])


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_heterofl_at_width_one_is_fedavg_to_the_bit(model, task, store):
    task = dataclasses.replace(task, model=model, widths=(1.0, 1.0, 1.0))
    assert same(run("heterofl", task), run("fedavg", task))


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_fedbn_and_the_ensemble_of_one_client_are_fedavg(model, task, store):
    task = dataclasses.replace(task, model=model, n_clients=1)
    wanted = run("fedavg", task)
    assert same(run("fedbn", task), wanted) and torch.equal(run("ensemble", task)[-1], wanted[-1])


def test_a_suite_does_not_run_fedavg_again_as_heterofl():
    def cells(**given):
        return expand_cells(*read_suite("heterogeneity"), "quick", methods=["heterofl"], **given)

    assert cells(widths=["full"]) == [] and cells(widths=["1,1"]) == []
    assert {cell.method for cell in cells(widths=["mixed"])} == {"heterofl"}
    assert cells(widths=["full"], settings={"heterofl": {"mask": "zero"}})  # which is not FedAvg


# FedProx


def test_the_pull_and_its_gradient_by_hand(task):
    """w - anchor = (3, -4, 0, ...): mu/2 (9 + 16) = 1.25 at mu = 0.1, with gradient mu (w - anchor) = (0.3, -0.4)."""
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


def test_fedproxs_first_step_feels_no_pull(task, store):
    """At the received model the pull's gradient is 0: with one step a round FedProx is FedAvg, whatever mu."""
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


# FedRS


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
    """Logits (0, 2 log 3), label 0, factors (1, 0.5): softmax of (0, log 3) is (1/4, 3/4), the loss log 4.

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


# FedBN


def rounds_of_fedbn(task: Task, rounds: int) -> tuple[State, list[State]]:
    start, private = initial_model(task.spec, task.seed), fedbn.batch_norms(task.spec)
    held = [window(task.spec_at(width)) for width in task.widths or [1.0] * task.n_clients]
    shared = fedbn.only(start, start.keys() - private)
    own = [cut(fedbn.only(start, private), task.layout, mine) for mine in held]
    for t in range(1, rounds + 1):
        shared, own = fedbn.one_round(task, shared, own, held, t)
    return shared, own


@pytest.mark.parametrize("model, layers", [("cnn", 4), ("resnet18", 20)])
def test_batch_norms_are_the_four_tensors_of_each_layer(model, layers):
    """4 blocks; and 1 + 2 x 8 of ResNet-18, with one in each of 3 shortcuts."""
    found = fedbn.batch_norms(Spec(model, 1, 10, 4))
    assert len(found) == 4 * layers
    assert {name.rpartition(".")[2] for name in found} == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
    }
    assert found < set(initial_model(Spec(model, 1, 10, 4), 0)) and "linear.weight" not in found


def test_clients_share_all_but_batch_norm_and_each_has_its_own(task, store):
    shared, own = rounds_of_fedbn(task, 2)
    assert (
        shared.keys() | own[0].keys() == federated_model(task, 0).keys()
        and not shared.keys() & own[0].keys()
    )
    for name in own[0]:
        assert not torch.equal(own[0][name], own[1][name]) and not torch.equal(
            own[1][name], own[2][name]
        ), name


def test_fedbns_first_round_averages_what_fedavgs_does(task, store):
    """All start from one model, so the first round's local training is FedAvg's; only the average is partial."""
    shared, own = rounds_of_fedbn(task, 1)
    federation, server = open_federation(task), federated_model(task, 1)
    assert all(torch.equal(shared[name], server[name]) for name in shared)
    mean = average(own, federation.sizes)
    assert all(torch.equal(mean[name], server[name]) for name in mean)


def test_a_client_goes_on_with_its_own_batch_norm(task, store):
    """Round 2 of a client starts from the shared model with the BatchNorm that it ended round 1 with."""
    (shared, own), (_, after) = rounds_of_fedbn(task, 1), rounds_of_fedbn(task, 2)
    for shard in open_federation(task).shards:
        trained = train(shared | own[shard.client], shard, task, round=2)
        assert all(
            torch.equal(trained[name], tensor) for name, tensor in after[shard.client].items()
        )


def test_fedbns_result_is_the_clients_personal_models(task, store):
    task = dataclasses.replace(task, widths=MIXED)
    shared, own = rounds_of_fedbn(task, 2)
    parts, found = task.layout, run("fedbn", task)[-1]
    assert len(found) == 3
    for client, width in enumerate(MIXED):
        model = cut(shared, parts, window(task.spec_at(width))) | own[client]
        assert torch.equal(found[client], predictor(model, task, width)(images()))


# SCAFFOLD


def rounds_of_scaffold(task: Task, rounds: int) -> list[tuple[State, State, list[State]]]:
    server = initial_model(task.spec, task.seed)
    none = scaffold.no_controls(task, server)
    states = [(server, none, [none] * task.n_clients)]
    for t in range(1, rounds + 1):
        states.append(scaffold.one_round(task, *states[-1], t))
    return states


def test_control_variates_are_of_all_parameters_and_of_nothing_else(task):
    server = initial_model(task.spec, 0)
    none = scaffold.no_controls(task, server)
    assert none.keys() == {name for name in server if "running" not in name}


def test_the_correction_shifts_the_gradient_by_exactly_that(task):
    network, batch = some_network(task), some_batch(task)
    names = [name for name, _ in network.named_parameters()]
    shards, rng = open_federation(task).shards, torch.Generator().manual_seed(0)
    c, mine = (
        {n: torch.randn(w.shape, generator=rng) for n, w in network.named_parameters()}
        for _ in range(2)
    )
    loss = scaffold.correct(shards[1], {}, c, [c, mine, c])
    plain, found = gradients(cross_entropy, network, *batch), gradients(loss, network, *batch)
    assert all(torch.equal(found[name], plain[name] + (c[name] - mine[name])) for name in names)


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_servers_control_variate_is_the_mean_of_the_clients(epochs, task, store):
    """With equal steps K it is also (x - x+) / (K lr): what the server's model itself did in the round."""
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
    """Option II: (x - y_i) / (K_i lr) - (c - c_i), where the client took K_i = 2 ceil(n_i / 16) steps from x to y_i."""
    task = dataclasses.replace(task, epochs=2)
    _, (server, c, own), (_, _, renewed) = rounds_of_scaffold(task, 2)
    for shard in open_federation(task).shards:
        loss, path = (
            scaffold.correct(shard, server, c, own),
            2 * math.ceil(shard.size / 16) * task.lr,
        )
        y = train(server, shard, task, round=2, loss=loss)
        for name, fresh in renewed[shard.client].items():
            wanted = (server[name] - y[name]) / path - (c[name] - own[shard.client][name])
            assert torch.allclose(fresh, wanted, atol=1e-6), name


def test_a_control_variate_by_hand(task, store):
    """One step, full batch, a classifier of zeros: all classes have p = 1/10, and the gradient of class y's bias is the
    mean of p - [label = y], which is 0.1 - the client's share of y. That is c_i; c is 0.1 - the share in all data.
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
    """That is what it is for: after the same round clients' models lie nearer to one another than FedAvg's."""
    task = dataclasses.replace(task, omega=0.05, rounds=4, steps=10)
    *_, (server, c, own), _ = rounds_of_scaffold(task, 4)
    none, apart = scaffold.no_controls(task, server), []
    for controls in ((c, own), (none, [none] * 3)):
        clients = [
            train(server, s, task, round=4, loss=scaffold.correct(s, server, *controls))
            for s in open_federation(task).shards
        ]
        mean = average(clients, open_federation(task).sizes)
        apart.append(
            sum(
                (client[name] - mean[name]).square().sum().item()
                for client in clients
                for name in c
            )
        )
    assert apart[0] < 0.7 * apart[1], apart


def test_scaffold_skips_mixed_widths_before_anything_is_trained(task):
    with opened(Account()) as account, pytest.raises(Skip, match="width"):
        next(scaffold.run(dataclasses.replace(task, widths=MIXED), scaffold.Config()))
    assert account.total().steps == {}


# HeteroFL


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
@pytest.mark.parametrize(
    "narrow, wide", [(0.1, 0.25), (0.25, 0.5), (0.5, 0.7), (0.7, 1.0), (0.1, 1.0)]
)
def test_the_narrower_model_is_the_corner_of_the_wider_one(model, narrow, wide):
    spec = Spec(model, 3, 10, 6)
    server, parts = initial_model(spec, 0), layout_of(spec)
    small, large = (
        cut(server, parts, window(dataclasses.replace(spec, width=r))) for r in (narrow, wide)
    )
    for name, tensor in small.items():
        corner = large[name][tuple(slice(n) for n in tensor.shape)]
        assert torch.equal(tensor, corner), name


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_a_coordinate_that_nobody_covers_keeps_its_value_and_others_move(model, task, store):
    """With widths up to 1/2 the first half of 4 channels of 1, and of 8 channels of 2, are trained."""
    task = dataclasses.replace(task, model=model, widths=(0.5, 0.5, 0.25))
    server = federated_model(task, 0)
    after = heterofl.one_round(task, heterofl.Config(), server, 3)
    for name, groups in task.layout.items():
        sizes = zip(groups, server[name].shape, strict=False)
        held = tuple(slice(None if group in ("image", "classes") else n // 2) for group, n in sizes)
        covered = torch.zeros_like(server[name], dtype=torch.bool)
        covered[held] = True
        assert torch.equal(after[name][~covered], server[name][~covered]), name
        assert not torch.equal(after[name][covered], server[name][covered]), name


def test_heterofl_is_not_fedrolex(task, store):
    """Its window stands still: in round 1 FedRolex's has moved on by a channel."""
    task = dataclasses.replace(task, widths=MIXED)
    assert not same(run("heterofl", task), run("fedrolex", task))


def test_the_mask_by_hand_and_in_a_run(task, store):
    """Logits (0, 5, log 2) with the middle class absent, label 0: (0, 0, log 2), so p = (1, 1, 2) / 4 and log 4."""
    absent = torch.tensor([False, True, False])
    logits = torch.tensor([[0.0, 5.0, math.log(2)]])
    loss = heterofl.masked_cross_entropy(nn.Identity(), logits, torch.tensor([0]), absent)
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)
    task = dataclasses.replace(task, omega=0.05)
    masked, plain = run("heterofl", task, mask="zero"), run("heterofl", task)
    assert not same(masked, plain) and masked[-1].isfinite().all()
    assert same(
        masked, run("fedrs", task, alpha=0.0)
    )  # at full width the mask is the restricted softmax's limit


# The ensemble


def test_an_ensemble_of_equal_clients_is_that_client(task, store):
    client = final_client_models(task)[0]
    wanted = predictor(client, task)(images())
    for mean in ("logits", "probabilities"):
        said = ensemble.mean_of(task, ensemble.Config(mean), [client] * 3)(images())
        assert torch.allclose(said.softmax(1), wanted.softmax(1), atol=1e-5)


def test_the_mean_of_probabilities_does_not_heed_how_sure_a_client_is(task, store, monkeypatch):
    """Logits (2, 0), (2, 0) and (0, 9): their mean, (1.3, 3), is for the second class; two of three are for the first.

    Probabilities of the first class: .881, .881 and .000: a mean of .587.
    """
    monkeypatch.setattr(
        ensemble,
        "teacher_logits",
        lambda *_: torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]], [[0.0, 9.0]]]),
    )
    said = {
        mean: ensemble.mean_of(task, ensemble.Config(mean), [])(images())
        for mean in ("logits", "probabilities")
    }
    assert said["logits"].argmax(1).tolist() == [1]
    assert said["probabilities"].exp()[0].tolist() == pytest.approx([0.587, 0.413], abs=1e-3)


@pytest.mark.parametrize("widths", [(), MIXED])
def test_the_ensemble_is_the_mean_of_the_clients_by_their_own_statistics(widths, task, store):
    task = dataclasses.replace(task, widths=widths, batch_norm="batch")
    own = dataclasses.replace(task, batch_norm="average")
    logits = [
        predictor(m, own, task.width(i))(images()) for i, m in enumerate(final_client_models(task))
    ]
    assert torch.allclose(run("ensemble", task)[-1][0], torch.stack(logits).mean(0), atol=1e-5)


# What crosses the network


@pytest.mark.parametrize("widths", [(), MIXED])
def test_bytes(widths, task, store):
    """T rounds of each client's model both ways; less BatchNorm for FedBN, and SCAFFOLD's controls beside it."""
    task = dataclasses.replace(task, widths=widths)
    server, parts, private = federated_model(task, 0), task.layout, fedbn.batch_norms(task.spec)
    sent = [cut(server, parts, window(task.spec_at(width))) for width in widths or (1.0,) * 3]
    models = {"model": task.rounds * n_bytes(sent)}
    for name in ("fedprox", "fedrs", "heterofl", "ensemble"):
        cost = cost_of(name, task)
        assert cost.upload == cost.download == models, name
    cost = cost_of("fedbn", task)
    shared = [fedbn.only(part, part.keys() - private) for part in sent]
    assert cost.upload == cost.download == {"model": task.rounds * n_bytes(shared)}
    assert n_bytes(shared) < n_bytes(sent)
    if not widths:
        controls = task.rounds * 3 * n_bytes(scaffold.no_controls(task, server))
        cost = cost_of("scaffold", task)
        assert cost.upload == cost.download == models | {"controls": controls}


@pytest.mark.parametrize("name", ["fedprox", "fedrs", "fedbn", "scaffold", "heterofl", "ensemble"])
def test_local_work_is_fedavgs(name, task, store):
    """The same number of local steps for the same FLOPs: what differs costs next to nothing."""
    of_method, of_fedavg = cost_of(name, task), cost_of("fedavg", task)
    assert of_method.steps == of_fedavg.steps and of_method.flops == of_fedavg.flops
