"""Mosaic's meta models: one expert is right about all labels, the others about none."""

import pytest
import torch

from mosaic.meta_model import META, train_meta


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_right_expert(n: int, n_classes: int = 4) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Experts' logits (n, K, K), and prototypes: expert 2 knows the label, the others shout one of
    their own choice.
    """
    labels = torch.randint(n_classes, (n,), generator=rng(1))
    named = torch.randint(n_classes, (n, n_classes), generator=rng(2))
    named[:, 2] = labels
    logits = 3.0 * torch.nn.functional.one_hot(named, n_classes).float()
    return logits, {"features": torch.zeros(n, 1), "labels": labels, "weights": torch.ones(n)}


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_a_gate_and_a_linear_map_start_as_the_experts_mean(kind):
    logits, _ = one_right_expert(50)
    assert torch.allclose(META[kind](4, 4)(logits), logits.mean(1), atol=1e-5)


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_meta_training_finds_the_one_expert_that_is_right(kind):
    logits, prototypes = one_right_expert(400)
    meta, learned = train_meta(kind, logits, prototypes, rng(), 20)
    assert learned["meta_accuracy"] > 0.95 > learned["meta_accuracy_of_mean"]
    assert learned["meta_epochs"] > 0 and learned["prototypes"] == 400
    assert not any(p.requires_grad for p in meta.parameters()) and not meta.training


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_meta_training_never_ends_worse_than_the_mean_on_the_held_out_prototypes(kind):
    """Experts with random logits: the best epoch is kept, and the first is the mean itself."""
    logits = torch.randn(40, 4, 4, generator=rng(5)) * 0.01
    prototypes = {"labels": torch.randint(4, (40,), generator=rng(6)), "weights": torch.ones(40)}
    held_out = torch.randperm(40, generator=after_the_seed(rng()))[:8]
    meta, _ = train_meta(kind, logits, prototypes, rng(), 20)

    def loss(predicted):
        return torch.nn.functional.cross_entropy(
            predicted[held_out], prototypes["labels"][held_out]
        )

    assert loss(meta(logits)) <= loss(logits.mean(1)) + 1e-6


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_without_patience_the_meta_model_stays_the_mean_and_more_of_it_never_stops_earlier(kind):
    logits, prototypes = one_right_expert(100)
    meta, _ = train_meta(kind, logits, prototypes, rng(), patience=0)
    assert torch.allclose(meta(logits), logits.mean(1), atol=1e-5)
    epochs = [
        train_meta(kind, logits, prototypes, rng(), patience)[1]["meta_epochs"]
        for patience in (0, 1, 20)
    ]
    assert epochs == sorted(epochs) and epochs[0] == 0 < epochs[-1]


@pytest.mark.parametrize("steps", [1, 3])
def test_the_authors_training_ends_with_a_moving_average_of_the_weights(steps):
    """With one prototype a step moves each weight by lr times the sign of its gradient, for Adam
    divides a constant gradient by its size: after s steps the average has moved by
    lr (s - .99 - .99^2 - ... - .99^s).
    """
    logits, labels = torch.tensor([[[5.0, 0.0]]]), torch.tensor([1])
    weights = torch.full((1,), 7.0)
    meta, numbers = train_meta(
        "gate", logits, {"labels": labels, "weights": weights}, rng(), 20, lr=1e-3, steps=steps
    )
    moved = 1e-3 * (steps - sum(0.99**s for s in range(1, steps + 1)))
    assert meta.bias.tolist() == pytest.approx([-moved, moved], rel=1e-3)
    assert numbers == {"prototypes": 1}
    assert not any(p.requires_grad for p in meta.parameters()) and not meta.training


def test_in_the_authors_training_prototypes_count_alike():
    """As in test_prototypes_count_by_the_samples_they_stand_for, whose answer is 0.9."""
    labels = torch.arange(200) % 2
    weights = torch.where(labels == 0, 9.0, 1.0)
    prototypes = {"labels": labels, "weights": weights}
    meta, _ = train_meta("gate", torch.ones(200, 1, 2), prototypes, rng(), 20, lr=1e-2, steps=300)
    assert meta(torch.ones(1, 1, 2)).softmax(1)[0, 0].item() == pytest.approx(0.5, abs=0.05)


def test_the_learning_rate_reaches_adam():
    logits, prototypes = one_right_expert(100)
    still, moved = (
        train_meta("gate", logits, prototypes, rng(), 20, lr=lr)[0](logits) for lr in (1e-9, 1e-2)
    )
    assert torch.allclose(still, logits.mean(1), atol=1e-4) and not torch.allclose(still, moved)


def after_the_seed(random: torch.Generator) -> torch.Generator:
    torch.randint(2**62, (), generator=random)  # train_meta draws the seed of its weights first
    return random


@pytest.mark.parametrize(
    "kind, tells_apart", [("gate", True), ("linear", True), ("transformer", False)]
)
def test_all_but_the_authors_transformer_tell_the_experts_apart(kind, tells_apart, monkeypatch):
    monkeypatch.setattr("mosaic.meta_model.MOST_EPOCHS", 10)
    logits, prototypes = one_right_expert(100)
    meta, _ = train_meta(kind, logits, prototypes, rng(), 20)
    swapped = meta(logits[:, [2, 0, 3, 1]])
    assert torch.allclose(swapped, meta(logits), atol=1e-4) != tells_apart


@pytest.mark.parametrize("kind", META)
def test_meta_training_is_a_function_of_its_arguments_and_leaves_the_global_random_state(
    kind, monkeypatch
):
    monkeypatch.setattr("mosaic.meta_model.MOST_EPOCHS", 3)
    logits, prototypes = one_right_expert(60)
    before = torch.get_rng_state()
    a, b = (train_meta(kind, logits, prototypes, rng(), 20)[0](logits) for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("kind", META)
def test_a_few_prototypes_are_enough(kind, n, monkeypatch):
    monkeypatch.setattr("mosaic.meta_model.MOST_EPOCHS", 3)
    logits, prototypes = one_right_expert(n)
    meta, _ = train_meta(kind, logits, prototypes, rng(), 20)
    assert meta(logits).isfinite().all()


def test_prototypes_count_by_the_samples_they_stand_for():
    """The same expert's word is right for label 0 in the one, for label 1 in the other; 9 samples
    against 1.
    """
    logits = torch.ones(200, 1, 2)
    labels = torch.arange(200) % 2
    weights = torch.where(labels == 0, 9.0, 1.0)
    meta, _ = train_meta("gate", logits, {"labels": labels, "weights": weights}, rng(), 20)
    assert meta(logits).softmax(1)[0, 0].item() == pytest.approx(0.9, abs=0.05)
