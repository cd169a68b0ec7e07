"""The generator of DENSE and Co-Boosting, and the batch of images that is fitted with it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.fast.convolutions import Conv2d, DoublingConv2d
from mosaic.fl.rng import seed_of
from mosaic.fl.task import Task


class UpsamplingGenerator(nn.Module):
    """Noise (B, Z) to images (B, C, S, S) in [-1, 1], by two doublings from S/4 x S/4 pixels.

    2,328,899 parameters at noise 256, 3 channels, 32x32. The network is that of DENSE's code
    (Zhang et al., NeurIPS 2022), which Co-Boosting's code uses too.
    """

    def __init__(self, latent: int, channels: int, size: int):
        super().__init__()
        self.start = size // 4
        self.linear = nn.Linear(latent, 128 * self.start**2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(128),
            DoublingConv2d(128, 128),
            nn.BatchNorm2d(128),
            nn.LeakyReLU(0.2, inplace=True),
            DoublingConv2d(128, 64),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.2, inplace=True),
            Conv2d(64, channels, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).unflatten(1, (128, self.start, self.start))
        return self.layers(x.contiguous(memory_format=torch.channels_last))


@torch.random.fork_rng(devices=[])  # manual_seed below must not reach the caller's random state
def fitted_batch(
    task: Task,
    config: Any,
    epoch: int,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    clip: float = math.inf,
) -> tuple[Tensor, Tensor]:
    """Fit one batch of images to a loss: a new generator and its noise are optimised together.

    Args:
        task: gives the seed, the shape of an image and the number of classes.
        config: settings of DENSE or Co-Boosting: ``batch``, ``latent``, ``synthesis_steps`` (of
            Adam) and ``synthesis_lr``.
        epoch: fixes the random numbers, together with the task's seed.
        loss_of: the loss to minimise, of images (B, C, S, S) and labels (B,).
        clip: the gradient's norm is clipped to this value.

    Returns:
        The images (B, C, S, S) of the step with the lowest loss, and their uniformly drawn labels
        (B,).

    Raises:
        FloatingPointError: no step had a finite loss.
    """
    source = task.source
    torch.manual_seed(seed_of(task.seed, "synthesis", epoch))
    generator = UpsamplingGenerator(config.latent, source.channels, source.size)
    generator = generator.to(device()).to(memory_format=torch.channels_last)
    noise = torch.randn(config.batch, config.latent).to(device()).requires_grad_()
    labels = torch.randint(source.n_classes, (config.batch,)).to(device())

    fitted = [*generator.parameters(), noise]
    adam = torch.optim.Adam(fitted, lr=config.synthesis_lr, betas=(0.5, 0.999), fused=True)
    work = ("synthesis", config, task.spec, source.size, task.n_clients, task.widths)
    best = None
    best_loss = torch.full((), torch.inf, device=device())
    for _ in range(config.synthesis_steps):
        with metered(*work, items=config.batch):
            with autocast(task.precision):
                images = generator(noise)
            loss = loss_of(images, labels)
            adam.zero_grad(set_to_none=True)
            loss.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(fitted, clip)
        adam.step()

        # Selected on the device: reading the loss each step would stall an accelerator
        images = images.detach().float()
        best = images if best is None else torch.where(loss.detach() < best_loss, images, best)
        best_loss = torch.minimum(best_loss, loss.detach())

    if best is None or not torch.isfinite(best_loss):
        raise FloatingPointError(
            f"epoch {epoch}: the synthesis loss is not finite; lower synthesis_lr or the weights"
        )
    return best, labels
