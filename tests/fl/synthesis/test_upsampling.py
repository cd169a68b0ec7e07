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


def test_the_images_are_those_of_the_lowest_loss(task):
    found, seen = batch_of_losses(task, [3.0, 1.0, 2.0])
    assert torch.equal(found, seen[1])


@pytest.mark.parametrize("losses", [[float("nan")] * 3, [3.0, float("nan"), float("nan")]])
def test_losses_that_end_as_no_number_are_an_error(losses, task):
    """Also where the first ones were finite: the generator has diverged."""
    with pytest.raises(FloatingPointError, match="not finite"):
        batch_of_losses(task, losses)
