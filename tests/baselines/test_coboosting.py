"""Co-Boosting: the ensemble's weights, hard images, and their perturbation."""

import dataclasses
from math import e, log

import pytest
import torch

from baselines import coboosting, dense
from baselines.coboosting import (
    Config,
    hardness,
    perturbed,
    reweighted,
    weighted,
)
from benchmarks.planning.method_flops import PARTS
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import teacher_logits, teachers_of

DENSE = dense.Config(epochs=2, synthesis_steps=2, distil_steps=3, batch=32, latent=8)
SMALL = Config(epochs=2, synthesis_steps=2, distil_steps=3, batch=32, latent=8)


def images(n: int = 40) -> torch.Tensor:
    return normalise(load("digits", "test").images[:n])


def test_equal_weights_are_the_plain_mean_and_their_sum_does_not_matter():
    logits = torch.tensor([[[1.0, 2.0]], [[3.0, 6.0]]])  # two clients, one image, two classes
    assert weighted(logits, torch.tensor([0.5, 0.5])).tolist() == [[2.0, 4.0]]
    assert weighted(logits, torch.tensor([0.2, 0.2])).tolist() == [[2.0, 4.0]]
    assert weighted(logits, torch.tensor([0.3, 0.9]))[0].tolist() == pytest.approx([2.5, 5.0])


def test_the_better_client_gains_a_step_and_the_worse_loses_one():
    """Logits (2, 0) and (-2, 0) of a label 0, w = (1/2, 1/2): f = (0, 0), dCE/df = (-1/2, 1/2).

    df/dw_k = (f_k - f) / sum w = f_k, so dCE/dw = (-1, 1): the weights go to 1/2 + step and 1/2 -
    step.
    """
    logits, label = torch.tensor([[[2.0, 0.0]], [[-2.0, 0.0]]]), torch.tensor([0])
    assert reweighted(torch.tensor([0.5, 0.5]), logits, label, 0.1).tolist() == pytest.approx(
        [0.6, 0.4]
    )


def test_weights_stay_between_0_and_1_and_never_all_vanish():
    logits, label = torch.tensor([[[2.0, 0.0]], [[-2.0, 0.0]]]), torch.tensor([0])
    weights = torch.tensor([0.5, 0.5])
    for _ in range(100):
        weights = reweighted(weights, logits, label, 0.03)
        assert weights.min() >= 0 and weights.max() <= 1 and weights.sum() > 0
    assert weights.tolist() == [1.0, 0.0]
    # f does not depend on the length of w, so a single weight has no slope; but for rounding, which
    # must not divide by 0
    for seed in range(50):
        logits = torch.randn(2, 64, 10, generator=torch.Generator().manual_seed(seed))
        assert reweighted(torch.tensor([0.0, 0.02]), logits, torch.arange(64) % 10, 0.03).sum() > 0


def test_an_image_that_the_ensemble_is_sure_of_weighs_little():
    """Logits (log 3, 0): p = (3/4, 1/4), so 1 - p_y is 1/4 of label 0 and 3/4 of label 1, to the
    power h.
    """
    logits = torch.tensor([[log(3), 0.0], [log(3), 0.0]])
    labels = torch.tensor([0, 1])
    assert hardness(logits, labels, 1.0).tolist() == pytest.approx([0.25, 0.75])
    assert hardness(logits, labels, 2.0).tolist() == pytest.approx([0.0625, 0.5625])
    assert hardness(logits, labels, 0.0).tolist() == [1.0, 1.0]
    assert hardness(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), 1.0).item() == pytest.approx(
        1 / (1 + e)
    )


def test_a_perturbation_moves_each_pixel_by_its_length_towards_the_mix(task, store):
    teachers, weights = (
        teachers_of(task, final_client_models(task)),
        torch.full((task.n_clients,), 1 / task.n_clients),
    )
    x = images()
    config = dataclasses.replace(SMALL, perturbation=1e-3)
    moved = perturbed(task, config, teachers, weights, x, torch.Generator().manual_seed(0))
    lengths = (moved - x).abs()
    assert (
        torch.all(torch.isclose(lengths, torch.tensor(1e-3), atol=1e-6) | (lengths == 0))
        and lengths.max() > 0
    )
    mix = 2 * torch.rand((len(x), 10), generator=torch.Generator().manual_seed(0)) - 1

    def aim(images: torch.Tensor) -> float:
        return (
            (mix * (weighted(teacher_logits(teachers, images, task), weights) / 4).softmax(1))
            .sum()
            .item()
        )

    assert aim(moved) > aim(x)


def test_the_student_starts_from_the_average_or_from_the_common_random_model(task, store):
    """With a student that hardly learns, what it says in the end is what its start says."""
    still = dataclasses.replace(SMALL, student_lr=1e-12)
    for student, start in (
        ("average", federated_model(task, task.rounds)),
        ("random", initial_model(task.spec, task.seed)),
    ):
        snapshot = list(coboosting.run(task, dataclasses.replace(still, student=student)))[-1]
        assert torch.equal(snapshot.probes["before"](images()), predictor(start, task)(images()))


def test_the_same_cell_twice_is_the_same_to_the_bit_and_its_weights_have_moved(task, store):
    first, second = (
        list(coboosting.run(task, dataclasses.replace(SMALL, epochs=3)))[-1] for _ in range(2)
    )
    assert torch.equal(first.predict(images()), second.predict(images()))
    assert torch.equal(first.probes["teacher"](images()), second.probes["teacher"](images()))
    assert 0 <= first.diagnostics["weight_least"] < first.diagnostics["weight_most"] <= 1


def test_the_ensembles_weights_take_a_step_per_batch_of_earlier_epochs(task, store):
    """As in the code: none in the first epoch, one in the second."""
    [first] = coboosting.run(task, dataclasses.replace(SMALL, epochs=1))
    [second] = coboosting.run(task, dataclasses.replace(SMALL, epochs=2))
    third = 1 / task.n_clients
    assert first.diagnostics["weight_least"] == pytest.approx(third)
    assert first.diagnostics["weight_most"] == pytest.approx(third)
    step = SMALL.ensemble_step * SMALL.ensemble_decay
    assert second.diagnostics["weight_least"] == pytest.approx(third - step)
    assert second.diagnostics["weight_most"] == pytest.approx(third + step)


@pytest.mark.parametrize(("method", "config"), [(coboosting, SMALL), (dense, DENSE)])
def test_without_steps_the_student_is_its_start(method, config, task, store):
    [snapshot] = method.run(task, dataclasses.replace(config, distil_steps=0))
    assert torch.equal(snapshot.predict(images()), snapshot.probes["before"](images()))


@pytest.mark.parametrize(("method", "config"), [(coboosting, SMALL), (dense, DENSE)])
def test_distil_steps_are_the_students_and_the_forecast_knows_them(method, config, task, store):
    config = dataclasses.replace(config, epochs=4, distil_steps=7)
    with opened(Account()) as account:
        list(method.run(task, config))
    assert account.own.steps["distil"] == 7

    name = method.__name__.rpartition(".")[2]
    forecast = sum(part.flops for part in PARTS[name](task, config))
    assert forecast == pytest.approx(account.total().flops, rel=0.2)
