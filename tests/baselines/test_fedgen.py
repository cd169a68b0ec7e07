"""FedGen: the generator's and the clients' losses, what crosses the network, and where it is
FedAvg.
"""

import dataclasses
from functools import partial
from math import log

import pytest
import torch
import torch.nn.functional as F

from baselines import fedgen
from baselines.fedgen import Config
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model, live_network
from mosaic.fl.rng import stream
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy, noise_collapse, weighted_nll
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import class_shares

TINY = Config(generator_steps=3, batch=16)
COUNTS = torch.tensor([[3, 0, 0], [1, 2, 0]])  # no client has class 2


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


def run(task: Task, **settings) -> list[Snapshot]:
    return list(fedgen.run(task, dataclasses.replace(TINY, **settings)))


def server_logits(snapshot: Snapshot) -> torch.Tensor:
    """The logits (B, K) of the snapshot's model for the test images."""
    return snapshot.predict(images())


# Where it is FedAvg


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_weights_of_zero_fedgen_is_fedavg(precision, task, store):
    task = dataclasses.replace(task, precision=precision)
    for snapshot in run(task, alpha=0.0, beta=0.0):
        assert torch.equal(
            server_logits(snapshot),
            predictor(federated_model(task, snapshot.round), task)(images()),
        )


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"beta": 0.0}])
def test_the_first_round_is_fedavgs_and_the_second_is_not(settings, task, store):
    first, second = run(task, **settings)
    assert torch.equal(server_logits(first), predictor(federated_model(task, 1), task)(images()))
    assert not torch.equal(
        server_logits(second), predictor(federated_model(task, 2), task)(images())
    )


def test_mixed_widths_are_skipped(task, store):
    with pytest.raises(Skip, match="width 1"):
        run(dataclasses.replace(task, widths=(1.0, 0.5, 0.25)))


# The generator


def test_the_generator_has_the_authors_size():
    """Theirs for MNIST draws 32 features: (10 + 32 + 1) 256 of the hidden layer, 2 x 256 of its
    norm, 257 x 32.
    """
    generator = fedgen.FeatureGenerator(10, 32)
    assert sum(w.numel() for w in generator.parameters()) == 19_744


def test_labels_are_drawn_from_classes_that_a_client_has():
    """Counts (4, 2, 0) in all: each class that a client has is equally likely, or 2/3 and 1/3."""
    laws = [
        fedgen.law_of_labels(COUNTS, Config(labels=labels)) for labels in ("available", "counts")
    ]
    torch.testing.assert_close(
        torch.stack(laws), torch.tensor([[1 / 2, 1 / 2, 0], [2 / 3, 1 / 3, 0]])
    )
    for law in laws:
        labels, noise = fedgen.labels_and_noise(law, 3000, torch.Generator().manual_seed(0))
        found = labels.bincount(minlength=3) / 3000
        torch.testing.assert_close(found, law, atol=0.04, rtol=0)  # 4 deviations of 0.009
        assert found[2] == 0 and noise.shape == (3000, 32)


def test_the_clients_nll_by_hand():
    """Shares of labels (0, 1): the first client has (3/4, 0), the second (1/4, 1). The batch's
    labels are 0 and 1.

    The first gives 1/2 to label 0; the second 1/4 to label 0 and 3/4 to label 1. What the first
    says of label 1 does not count: (3/4 log 2 + 0) / 2 + (1/4 log 4 + log 4/3) / 2.
    """
    first, second = [[1 / 2, 1 / 2], [1 / 9, 8 / 9]], [[1 / 4, 3 / 4], [1 / 4, 3 / 4]]
    logits = torch.tensor([first, second]).log() + 5  # a constant more changes nothing
    found = weighted_nll(logits, torch.tensor([0, 1]), class_shares(COUNTS[:, :2]))
    assert found.item() == pytest.approx((5 / 4 * log(2) + log(4 / 3)) / 2)


def trained(task: Task, steps: int, **settings) -> dict[str, float]:
    """The generator's losses at the last of some steps on the heads of FedAvg's clients."""
    config = dataclasses.replace(TINY, generator_steps=steps, **settings)
    counts = open_federation(task).label_counts
    generator = fedgen.new_generator(task, 10, 16)
    adam = torch.optim.Adam(generator.parameters(), lr=config.generator_lr)
    law = fedgen.law_of_labels(counts, config)
    rng = stream(task.seed, "server generator", 1)
    sample = partial(fedgen.labels_and_noise, law, config.batch, rng)
    clients = final_client_models(task)
    shares = class_shares(counts)
    return fedgen.train_generator(generator, adam, clients, shares, sample, task, config)


def test_the_generators_losses_are_those_of_the_clients_heads_one_by_one(task, store):
    counts, rng = open_federation(task).label_counts, stream(task.seed, "server generator", 1)
    labels, noise = fedgen.labels_and_noise(fedgen.law_of_labels(counts, TINY), TINY.batch, rng)
    features = fedgen.new_generator(task, 10, 16).train()(labels, noise)
    nll = 0
    for shares, model in zip(class_shares(counts), final_client_models(task), strict=True):
        logits = F.linear(features, model["linear.weight"], model["linear.bias"])
        nll = nll + (shares[labels] * F.cross_entropy(logits, labels, reduction="none")).mean()
    found = trained(task, steps=1)
    assert found["generator_nll"] == pytest.approx(nll.item(), rel=1e-5)
    assert found["generator_collapse"] == pytest.approx(
        noise_collapse(noise, features, power=1).item(), rel=1e-5
    )


def test_the_generator_learns_what_the_heads_know(task, store):
    task = dataclasses.replace(task, steps=60, omega=100.0)
    before, after = (trained(task, n, generator_lr=3e-3, weight_diversity=0.0) for n in (1, 100))
    assert after["generator_nll"] < before["generator_nll"] / 4


def test_a_generator_that_diverges_says_so(task, store):
    with pytest.raises(FloatingPointError, match="generator_lr"):
        run(task, generator_lr=1e30)


# The clients


def test_a_clients_loss_is_the_sum_of_its_three_terms(task, store):
    """Written out with probabilities, on the same draws."""
    model = live_network(task.spec, "cpu").evaluating("average")
    generator, law = fedgen.new_generator(task, 10, 16).eval(), torch.full((10,), 0.1)
    x, y = images()[:8], load("digits", "test").labels[:8].long()
    loss = partial(fedgen.guided_cross_entropy, model, x, y, generator=generator, label_law=law)
    found = [
        loss(rng=stream(1), alpha=alpha, beta=beta).item()
        for alpha, beta in ((0, 0), (2, 0), (0, 3), (2, 3))
    ]

    rng = stream(1)
    drawn, noise = fedgen.labels_and_noise(law, 8, rng)
    other = torch.randn(8, 32, generator=rng)
    p, q = model.linear(generator(y, other)).softmax(1), model(x).softmax(1)
    alone = -q[range(8), y].log().mean()
    nll = -model.linear(generator(drawn, noise)).softmax(1)[range(8), drawn].log().mean()
    kl = (p * (p / q).log()).sum(1).mean()
    wanted = torch.stack([alone, alone + 2 * nll, alone + 3 * kl, alone + 2 * nll + 3 * kl])
    assert found == pytest.approx(wanted.tolist(), rel=1e-4)


def test_a_client_trains_its_model_and_not_the_generator(task, store):
    """The drawn features teach the head alone; the head's answer to them is the model's constant
    target.
    """
    model = live_network(task.spec, "cpu").training().requires_grad_(True)
    generator, law = fedgen.new_generator(task, 10, 16).eval(), torch.full((10,), 0.1)
    x, y = images()[:8], load("digits", "test").labels[:8].long()

    def gradients(alpha: float, beta: float) -> dict[str, torch.Tensor]:
        model.zero_grad()
        fedgen.guided_cross_entropy(model, x, y, generator, law, stream(1), alpha, beta).backward()
        return {name: w.grad.clone() for name, w in model.named_parameters()}

    alone, with_alpha, with_beta = gradients(0, 0), gradients(5, 0), gradients(0, 5)
    for name, gradient in alone.items():
        assert torch.equal(gradient, with_alpha[name]) == (not name.startswith("linear")), name
    assert not torch.equal(alone["blocks.3.conv.weight"], with_beta["blocks.3.conv.weight"])
    assert all(w.grad is None for w in generator.parameters())
    with torch.no_grad():
        rng = stream(1)
        fedgen.labels_and_noise(law, 8, rng)
        target = model.linear(generator(y, torch.randn(8, 32, generator=rng))).softmax(1)
    model.zero_grad()
    logits = model(x)
    (
        F.cross_entropy(logits, y) + 5 * F.cross_entropy(logits, target)
    ).backward()  # KL but for a constant
    for name, w in model.named_parameters():
        torch.testing.assert_close(with_beta[name], w.grad, rtol=1e-3, atol=1e-5)


def test_both_weights_fall_by_two_per_cent_a_round(task, store):
    """10 in the code's round 0, where they are not used yet; the first round here is 1."""
    shard, law, generator = (
        open_federation(task).shards[0],
        torch.full((10,), 0.1),
        fedgen.new_generator(task, 10, 16),
    )
    assert fedgen.guided(shard, {}, generator, law, task, Config(), t=1) is cross_entropy
    loss = fedgen.guided(shard, {}, generator, law, task, Config(), t=3)
    assert loss.keywords["alpha"] == loss.keywords["beta"] == pytest.approx(10 * 0.98**2)


# What crosses


def test_bytes(task, store):
    """Beside the models: counts (10 x int64) once; each round the generator, its norm's statistics
    and 10 chances.
    """
    task = dataclasses.replace(task, rounds=3)
    with opened(Account()) as account:
        run(task)
    models = 3 * 3 * n_bytes(initial_model(task.spec, 0))
    floats = (10 + 32 + 1) * 256 + 4 * 256 + 257 * 16  # 16 features at base width 4
    assert account.total().upload == {"model": models, "counts": 3 * 10 * 8}
    assert account.total().download == {
        "model": models,
        "generator": 3 * 3 * floats * 4,
        "labels": 3 * 3 * 10 * 4,
    }


def test_flops_do_not_depend_on_which_cell_ran_before(task, store, monkeypatch):
    others, flops = (
        [dataclasses.replace(task, n_clients=2), dataclasses.replace(task, base_width=8)],
        [],
    )
    for before in ([], others):
        monkeypatch.setattr(costs, "_flops", {})
        for other in before:
            run(other)
        use_cache(store / str(len(before)))
        with opened(Account()) as account:
            run(task)
        flops.append(account.total().flops)
    assert flops[0] == flops[1]
