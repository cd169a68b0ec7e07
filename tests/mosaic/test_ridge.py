"""The meta model in closed form: leave-one-out, its limit, and what it does not depend on."""

import math
from dataclasses import replace

import pytest
import torch
from contract_runs import SMALL, logits_of
from torch import Tensor

from mosaic import method as mosaic
from mosaic.meta_model import train_meta
from mosaic.ridge import STRENGTHS, fit_ridge


def experts(n: int = 30, n_experts: int = 3, n_classes: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Experts' logits (n, E, K) that know something of the labels, the labels, and counts."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(n_classes, (n,), generator=rng)
    logits = torch.randn(n, n_experts, n_classes, generator=rng)
    logits[:, 1] += 2 * torch.nn.functional.one_hot(labels, n_classes)
    counts = torch.randint(1, 20, (n,), generator=rng).float()
    return logits, labels, counts


def penalty(logits: Tensor, counts: Tensor, strength: float) -> float:
    """The strength as the number that is added to the normal equations' diagonal."""
    inputs, weights = design(logits), counts.double() / counts.double().mean()
    return strength * (weights[:, None] * inputs**2).sum(0).mean().item()


def design(logits: Tensor) -> Tensor:
    logits = logits.double()
    return (logits - logits.mean(2, keepdim=True)).flatten(1)


def normal_equations(logits: Tensor, labels: Tensor, counts: Tensor, added: float) -> Tensor:
    """(X' W X + added I)^-1 X' W R, the weights (E K, K) of weighted ridge regression."""
    inputs, mean = design(logits), logits.double().mean(1)
    wanted = 4 * (torch.nn.functional.one_hot(labels, logits.shape[2]) - mean.softmax(1))
    gram = inputs.T @ (counts[:, None] * inputs) + added * torch.eye(
        inputs.shape[1], dtype=torch.float64
    )
    return torch.linalg.solve(gram, inputs.T @ (counts[:, None] * wanted))


@pytest.mark.parametrize("n", [5, 30])  # fewer prototypes than weights per class, and more
@pytest.mark.parametrize("strength", [0.056, 1.0, 100.0])
def test_the_weights_and_leave_one_out_are_those_of_brute_force_refits(n, strength, monkeypatch):
    monkeypatch.setattr("mosaic.ridge.STRENGTHS", (strength,))
    logits, labels, counts = experts(n)
    ridge = fit_ridge(logits, labels, counts)
    weights = counts.double() / counts.double().mean()
    added = penalty(logits, counts, strength)

    solved = normal_equations(logits, labels, weights, added)
    assert torch.allclose(ridge.weights, solved, rtol=1e-8, atol=1e-10)
    for i in range(n):
        others = torch.arange(n) != i
        refit = normal_equations(logits[others], labels[others], weights[others], added)
        expected = logits[i].double().mean(0) + design(logits)[i] @ refit
        assert torch.allclose(ridge.left_out[i], expected, rtol=1e-8, atol=1e-10)


def test_the_strength_is_the_one_with_the_least_leave_one_out_error(monkeypatch):
    logits, labels, counts = experts()
    mean = logits.double().mean(1)
    targets = mean + 4 * (torch.nn.functional.one_hot(labels, 4) - mean.softmax(1))

    def error(strength: float) -> float:
        monkeypatch.setattr("mosaic.ridge.STRENGTHS", (strength,))
        left_out = fit_ridge(logits, labels, counts).left_out
        return (counts[:, None] * (targets - left_out) ** 2).sum().item()

    chosen = fit_ridge(logits, labels, counts).strength
    assert chosen == min(STRENGTHS, key=error)
    assert STRENGTHS[0] < chosen < math.inf  # a choice, here, and no end of the grid


def test_infinite_strength_is_the_experts_mean(monkeypatch):
    monkeypatch.setattr("mosaic.ridge.STRENGTHS", (math.inf,))
    logits, labels, counts = experts()
    ridge = fit_ridge(logits, labels, counts)
    assert torch.equal(ridge.weights, torch.zeros(12, 4, dtype=torch.float64))
    assert torch.allclose(ridge.left_out, logits.double().mean(1))

    meta, numbers = train_meta("ridge", logits, prototypes(labels, counts), rng(), 20)
    assert torch.allclose(meta(logits), logits.mean(1), atol=1e-6)
    assert numbers["meta_strength"] == math.inf
    assert numbers["meta_accuracy"] == numbers["meta_accuracy_of_mean"]


def test_experts_that_say_nothing_of_the_label_are_left_at_their_mean():
    logits, _, counts = experts(400)
    labels = torch.randint(4, (400,), generator=torch.Generator().manual_seed(9))
    ridge = fit_ridge(logits.roll(7, 0) * 1e-3, labels, counts)
    assert ridge.strength > 1


def test_the_order_of_the_prototypes_does_not_matter_and_nor_do_random_numbers():
    logits, labels, counts = experts()
    shuffled = torch.randperm(len(labels), generator=rng(3))
    a = fit_ridge(logits, labels, counts)
    b = fit_ridge(logits[shuffled], labels[shuffled], counts[shuffled])
    assert a.strength == b.strength
    assert torch.allclose(a.weights, b.weights, rtol=1e-9, atol=1e-12)
    assert torch.allclose(a.left_out[shuffled], b.left_out, rtol=1e-9, atol=1e-12)

    before = torch.get_rng_state()
    given = prototypes(labels, counts)
    outputs = [train_meta("ridge", logits, given, rng(seed), 20)[0](logits) for seed in (0, 1)]
    assert torch.equal(*outputs) and torch.equal(torch.get_rng_state(), before)


def test_the_unit_of_the_counts_does_not_matter():
    logits, labels, counts = experts()
    a, b = (fit_ridge(logits, labels, unit * counts) for unit in (1, 64))
    assert a.strength == b.strength and torch.allclose(a.weights, b.weights)


def test_the_model_is_the_mean_and_what_the_fit_adds_and_is_not_trained():
    logits, labels, counts = experts()
    meta, numbers = train_meta("ridge", logits, prototypes(labels, counts), rng(), 20)
    ridge = fit_ridge(logits, labels, counts)
    expected = logits.double().mean(1) + design(logits) @ ridge.weights
    assert torch.allclose(meta(logits).double(), expected, atol=1e-5)
    assert not any(p.requires_grad for p in meta.parameters()) and not meta.training
    right = (ridge.left_out.argmax(1) == labels).sum().item()
    assert numbers["meta_accuracy"] == pytest.approx(right / 30)
    assert numbers["meta_strength"] == ridge.strength and numbers["prototypes"] == 30


@pytest.mark.parametrize("n", [1, 2])
def test_one_prototype_and_silent_experts_are_no_problem(n):
    logits, labels, counts = experts(n)
    for given in (logits, torch.zeros_like(logits)):
        meta, _ = train_meta("ridge", given, prototypes(labels, counts), rng(), 20)
        assert meta(logits).isfinite().all()


def test_only_trained_meta_models_depend_on_the_meta_seed(task, store):
    def student(**settings) -> Tensor:
        (snapshot,) = mosaic.run(task, replace(SMALL["mosaic"], **settings))
        return logits_of(snapshot)

    assert torch.equal(student(meta="ridge"), student(meta="ridge", meta_seed=1))
    trained = [student(meta="transformer", meta_patience=2, meta_seed=seed) for seed in (0, 1)]
    assert not torch.equal(*trained)


def test_another_order_of_sums_changes_an_experts_logits_by_rounding_alone():
    features = torch.randn(50, 64, generator=rng(1))
    expert = {"linear.weight": torch.randn(10, 64, generator=rng(2)), "linear.bias": torch.ones(10)}
    logits, first, second = (mosaic.head(expert, features, order) for order in (0, 1, 2))
    assert torch.equal(logits, features @ expert["linear.weight"].T + 1)
    assert not torch.equal(first, logits) and not torch.equal(first, second)
    for reordered in (first, second):
        assert torch.allclose(reordered, logits, atol=1e-4)


def prototypes(labels: Tensor, counts: Tensor) -> dict[str, Tensor]:
    return {"labels": labels, "weights": counts}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
