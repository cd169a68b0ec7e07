"""The student of a growing pool of images: how many steps an epoch has, and kept momentum."""

from functools import partial

import pytest
import torch
from torch import nn

from mosaic.fl.models.live_network import initial_model
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.growing_pool import KeptMomentum, batches_of_epoch, steps_of_epoch


def test_the_papers_200_epochs_are_one_pass_over_the_batches_so_far():
    assert [steps_of_epoch(20_100, e, 200) for e in range(1, 201)] == list(range(1, 201))


@pytest.mark.parametrize(("total", "epochs"), [(804, 8), (7, 8), (1, 1), (500, 3)])
def test_fewer_epochs_share_the_steps_in_proportion_to_their_images(total, epochs):
    steps = [steps_of_epoch(total, e, epochs) for e in range(1, epochs + 1)]
    assert sum(steps) == total
    shares = [total * 2 * e / (epochs * (epochs + 1)) for e in range(1, epochs + 1)]
    assert steps == pytest.approx(shares, abs=1)


def test_momentum_that_starts_again_in_eight_epochs_loses_63_per_cent_of_the_way():
    """A constant gradient of 1, e steps in epoch e: 0.37 of the way of the kept one."""

    def way(kept: bool) -> float:
        [weight] = parameters = [nn.Parameter(torch.zeros(()))]
        momentum = KeptMomentum(0.9)
        for epoch in range(1, 9):
            if not kept:
                momentum = KeptMomentum(0.9)
            optimiser = momentum(parameters, lr=1.0)
            for _ in range(epoch):
                weight.grad = torch.ones(())
                optimiser.step()
        return weight.item()

    expected = velocity = 0.0
    for _ in range(36):
        velocity = 0.9 * velocity - 1
        expected += velocity
    assert way(kept=True) == pytest.approx(expected, rel=1e-5)
    assert way(kept=False) / way(kept=True) == pytest.approx(0.37, abs=0.005)


def test_two_calls_of_distil_with_kept_momentum_are_one_call(task, store):
    """Without BatchNorm's running statistics, which each call would leave as they are."""
    rng = torch.Generator().manual_seed(0)
    batches = [(torch.randn(8, 1, 8, 8, generator=rng), torch.arange(8)) for _ in range(6)]
    start = initial_model(task.spec, 0)
    learn = partial(distil, task=task, loss=nn.functional.cross_entropy, frozen_norms=True)

    once = partial(KeptMomentum(0.9, weight_decay=1e-3), lr=0.1)
    expected, _ = learn(start, batches, optimiser=once)
    twice = partial(KeptMomentum(0.9, weight_decay=1e-3), lr=0.1)
    half, _ = learn(start, batches[:3], optimiser=twice)
    found, _ = learn(half, batches[3:], optimiser=twice)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_batch_of_the_student_has_images_of_several_epochs():
    pool = [torch.full((32, 1, 2, 2), float(epoch)) for epoch in range(3)]
    mixed = batches_of_epoch(pool, 12, 3, 3, torch.Generator().manual_seed(0))
    assert len(mixed) == 6  # half of 12: the third of 1 + 2 + 3 batches
    assert all(batch.shape == (32, 1, 2, 2) and len(batch.unique()) == 3 for batch in mixed)
    assert batches_of_epoch(pool[:1], 12, 1, 200, torch.Generator()) == []
