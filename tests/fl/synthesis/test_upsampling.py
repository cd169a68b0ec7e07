"""The batch that DENSE and Co-Boosting fit: which step's images it is."""

from dataclasses import dataclass

import pytest
import torch

from mosaic.fl.synthesis.upsampling import fitted_batch


@dataclass(frozen=True)
class Config:
    batch: int = 4
    latent: int = 4
    synthesis_steps: int = 3
    synthesis_lr: float = 1e-3


def batch_of_losses(task, factors: list[float]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The batch, and the images of each step, where a step's loss is its factor."""
    seen = []

    def loss_of(images, labels):
        factor = factors[len(seen)]
        seen.append(images.detach().clone())
        return factor + 0 * images.mean()

    return fitted_batch(task, Config(), 0, loss_of)[0], seen


@pytest.mark.parametrize("losses, best", [([3.0, 1.0, 2.0], 1), ([3.0, float("nan"), 2.0], 2)])
def test_the_images_are_those_of_the_lowest_loss_that_is_a_number(losses, best, task):
    found, seen = batch_of_losses(task, losses)
    assert torch.equal(found, seen[best])


def test_without_any_finite_loss_it_is_an_error(task):
    with pytest.raises(FloatingPointError, match="not finite"):
        batch_of_losses(task, [float("nan")] * 3)
