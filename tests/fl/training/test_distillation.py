"""Distillation: a student comes to agree with its teacher, whatever else computes meanwhile."""

from functools import partial

import pytest
import torch

from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, drawn_batches, loss_curve_ends
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("loss", [losses.soft_distillation, losses.jensen_shannon])
def test_distilling_a_model_into_itself_has_zero_loss_and_zero_gradient(task, start, shard, loss):
    """At learning rate 1 a step is the gradient: the weights stay the same, but for rounding."""
    images = normalise(shard.images[:32])
    labelled = [(images, predictor(start, task)(images))] * 3
    sgd = partial(torch.optim.SGD, lr=1.0)
    student, curve = distil(start, labelled, task, sgd, loss, frozen_norms=True)
    assert max(map(abs, curve)) < 1e-6
    for name in start:
        assert torch.allclose(student[name], start[name], atol=1e-6), name


@pytest.mark.parametrize("frozen_norms", [True, False])
def test_a_student_learns_from_its_teacher_and_only_free_norms_move(
    task, start, shard, frozen_norms
):
    teacher = train(start, shard, task, "teacher", steps=30)
    images = normalise(shard.images[:64])
    labelled = [(images, predictor(teacher, task)(images))] * 30
    adam = partial(torch.optim.Adam, lr=0.01)
    before = {name: tensor.clone() for name, tensor in start.items()}
    student, curve = distil(start, labelled, task, adam, losses.soft_distillation, frozen_norms)
    assert curve[-1] < 0.5 * curve[0] and len(curve) == 30
    assert same(start, before)
    statistics = [name for name in start if "running" in name]
    moved = [name for name in statistics if not torch.equal(student[name], start[name])]
    assert bool(moved) != frozen_norms


def test_a_teacher_may_compute_targets_while_its_student_learns(task, start, shard):
    """Both are of one shape. Targets computed between the steps are those computed beforehand."""
    teacher = initial_model(task.spec, 1)
    images = normalise(shard.images[:64]).split(16)
    sgd = partial(torch.optim.SGD, lr=0.1)
    loss = losses.soft_distillation

    generated = ((batch, predictor(teacher, task)(batch)) for batch in images)
    meanwhile, _ = distil(start, generated, task, sgd, loss, frozen_norms=False)
    listed = [(batch, predictor(teacher, task)(batch)) for batch in images]
    beforehand, _ = distil(start, listed, task, sgd, loss, frozen_norms=False)
    assert same(meanwhile, beforehand)


def test_a_distillation_loss_that_is_not_finite_raises(task, start, shard):
    labelled = [(normalise(shard.images[:8]), torch.full((8, 10), torch.nan))]
    sgd = partial(torch.optim.SGD, lr=1.0)
    with pytest.raises(FloatingPointError, match="lower its learning rate"):
        distil(start, labelled, task, sgd, losses.soft_distillation, frozen_norms=True)


def test_the_ends_of_a_loss_curve_are_means_of_a_tenth_of_its_steps_by_hand():
    """Of 25 steps the first two and the last two; of fewer than 20, the first and the last."""
    assert loss_curve_ends([float(i) for i in range(25)]) == (0.5, 23.5)
    assert loss_curve_ends([4.0, 1.0, 2.0]) == (4.0, 2.0)
    assert loss_curve_ends([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.2])
def test_a_source_that_leaves_images_out_is_asked_until_all_steps_have_their_batch(kept):
    asked = []

    def draw(n):
        first = sum(asked)
        asked.append(n)
        images = torch.arange(first, first + round(kept * n))
        return images, 10 * images

    found = list(drawn_batches(draw, 11, 4))
    assert [len(images) for images, _ in found] == [4] * 11
    assert all(torch.equal(targets, 10 * images) for images, targets in found)
    assert torch.cat([images for images, _ in found]).unique().numel() == 44
    assert kept < 1 or asked == [32, 12]


def test_a_source_that_leaves_all_images_out_is_an_error():
    with pytest.raises(RuntimeError, match="no image"):
        list(drawn_batches(lambda n: (torch.zeros(0), torch.zeros(0)), 2, 4))
