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
    """Noise (B, Z) to images (B, C, S, S), by two doublings from S/4: the generator of DENSE and of Co-Boosting.

    2,328,899 parameters at noise 256, 3 channels, 32x32.
    """

    def __init__(self, latent: int, channels: int, size: int):
        super().__init__()
        self.start = size // 4
        self.linear = nn.Linear(latent, 128 * self.start**2)
        self.layers = nn.Sequential(
            *(
                nn.BatchNorm2d(128),
                DoublingConv2d(128, 128),
                nn.BatchNorm2d(128),
                nn.LeakyReLU(0.2, inplace=True),
            ),
            *(DoublingConv2d(128, 64), nn.BatchNorm2d(64), nn.LeakyReLU(0.2, inplace=True)),
            *(Conv2d(64, channels, 3, 1, 1), nn.Tanh()),
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).unflatten(1, (128, self.start, self.start))
        return self.layers(x.contiguous(memory_format=torch.channels_last))


@torch.random.fork_rng(devices=[])  # the seed below is of this call alone
def fitted_batch(
    task: Task,
    config: Any,
    epoch: int,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    clip: float = math.inf,
) -> tuple[Tensor, Tensor]:
    """One batch of images (B, C, S, S), and the uniform labels (B,) that they were made for: DENSE's and Co-Boosting's.

    A fresh generator and its noise are fitted together for ``config.synthesis_steps`` steps of Adam to
    ``loss_of(images, labels)``, gradients clipped to the norm ``clip``; the images of lowest loss are returned.
    """
    torch.manual_seed(seed_of(task.seed, "synthesis", epoch))
    source = task.source
    G = UpsamplingGenerator(config.latent, source.channels, source.size).to(
        device(), memory_format=torch.channels_last
    )
    z = torch.randn(config.batch, config.latent).to(device()).requires_grad_()
    target = torch.randint(source.n_classes, (config.batch,)).to(device())
    fitted = [*G.parameters(), z]
    adam = torch.optim.Adam(fitted, lr=config.synthesis_lr, betas=(0.5, 0.999), fused=True)
    best, best_loss = None, torch.full((), torch.inf, device=device())
    for _ in range(config.synthesis_steps):
        with metered(
            "synthesis",
            config,
            task.spec,
            source.size,
            task.n_clients,
            task.widths,
            items=config.batch,
        ):
            with autocast(task.precision):
                images = G(z)
            loss = loss_of(images, target)
            adam.zero_grad(set_to_none=True)
            loss.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(fitted, clip)
        adam.step()
        better = loss.detach() < best_loss
        best = (
            images.detach().float()
            if best is None
            else torch.where(better, images.detach().float(), best)
        )
        best_loss = torch.minimum(best_loss, loss.detach())
    if not torch.isfinite(best_loss):
        raise FloatingPointError(
            f"epoch {epoch}: the synthesis loss is not finite; lower synthesis_lr or the weights"
        )
    return best, target
