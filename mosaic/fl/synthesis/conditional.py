"""Networks that draw images at the server, for the methods that invert the clients' models.

What leaves them lies in [-1, 1], the space of the normalised data.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.data.readers import DATASETS
from mosaic.fl.device import autocast, device
from mosaic.fl.fast.convolutions import Conv2d, ConvTranspose2d, DoublingConv2d
from mosaic.fl.rng import seed_of
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import spec_of


class UpsamplingGenerator(nn.Module):
    """Noise (B, Z) to images (B, C, S, S), by two doublings from S/4: the generator of DENSE and of Co-Boosting.

    2,328,899 parameters at noise 256, 3 channels, 32x32.
    """

    def __init__(self, latent: int, channels: int, size: int):
        super().__init__()
        self.start = size // 4
        self.linear = nn.Linear(latent, 128 * self.start**2)
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(128), DoublingConv2d(128, 128), nn.BatchNorm2d(128), nn.LeakyReLU(0.2, inplace=True)),
            *(DoublingConv2d(128, 64), nn.BatchNorm2d(64), nn.LeakyReLU(0.2, inplace=True)),
            *(Conv2d(64, channels, 3, 1, 1), nn.Tanh()),
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).unflatten(1, (128, self.start, self.start))
        return self.layers(x.contiguous(memory_format=torch.channels_last))


class ConditionalGenerator(nn.Module):
    """Noise (B, Z) and labels (B,) to images (B, C, S, S): the deconvolutions of DFRD and of its study's FedFTG.

    ``condition``: "multiply" gates the noise by the label's embedding (DFRD), "concatenate" appends the embedding to it
    (FedFTG). 4x4 at first, then as many doublings as the size asks for; an image size between two powers of two is cut
    from the middle. At noise 100, 10 classes, 3 channels, 32x32: 3,448,552 and 4,267,752 parameters.
    """

    def __init__(self, latent: int, n_classes: int, channels: int, size: int, condition: str, ngf: int = 64):
        super().__init__()
        self.latent, self.size, self.multiply = latent, size, condition == "multiply"
        self.embedding = nn.Embedding(n_classes, latent)
        doublings = max(1, math.ceil(math.log2(size / 4)))
        widths = [ngf * min(8, 2**i) for i in reversed(range(1, doublings + 1))]
        first = ConvTranspose2d(latent if self.multiply else 2 * latent, widths[0], 4, 1, 0, bias=False)
        layers: list[nn.Module] = [first, nn.ReLU()]  # the authors' first layer has no BatchNorm
        for i, (n_in, n_out) in enumerate(zip(widths, [*widths[1:], channels], strict=True)):
            layers += [nn.BatchNorm2d(n_in), nn.ReLU(inplace=True)] if i else []
            layers += [ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def code(self, z: Tensor, labels: Tensor) -> Tensor:
        """The noise once it knows its label: (B, Z), or (B, 2Z) where they are concatenated."""
        e = self.embedding(labels)
        return z * e if self.multiply else torch.cat([z, e], 1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.draw(self.code(z, labels))

    def draw(self, code: Tensor) -> Tensor:
        """Images from what ``code`` returned."""
        x = self.layers(code[:, :, None, None])
        edge = (x.shape[-1] - self.size) // 2
        return x[:, :, edge : edge + self.size, edge : edge + self.size]


@torch.random.fork_rng(devices=[])  # the seed below is of this call alone
def fitted_batch(
    task: Task, config: Any, epoch: int, loss_of: Callable[[Tensor, Tensor], Tensor], clip: float = math.inf
) -> tuple[Tensor, Tensor]:
    """One batch of images (B, C, S, S), and the uniform labels (B,) that they were made for: DENSE's and Co-Boosting's.

    A fresh generator and its noise are fitted together for ``config.synthesis_steps`` steps of Adam to
    ``loss_of(images, labels)``, gradients clipped to the norm ``clip``; the images of lowest loss are returned.
    """
    torch.manual_seed(seed_of(task.seed, "synthesis", epoch))
    source = DATASETS[task.dataset]
    G = UpsamplingGenerator(config.latent, source.channels, source.size).to(device(), memory_format=torch.channels_last)
    z = torch.randn(config.batch, config.latent).to(device()).requires_grad_()
    target = torch.randint(source.n_classes, (config.batch,)).to(device())
    fitted = [*G.parameters(), z]
    adam = torch.optim.Adam(fitted, lr=config.synthesis_lr, betas=(0.5, 0.999), fused=True)
    best, best_loss = None, torch.full((), torch.inf, device=device())
    for _ in range(config.synthesis_steps):
        with metered("synthesis", config, spec_of(task), source.size, task.n_clients, task.widths, items=config.batch):
            with autocast(task.precision):
                images = G(z)
            loss = loss_of(images, target)
            adam.zero_grad(set_to_none=True)
            loss.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(fitted, clip)
        adam.step()
        better = loss.detach() < best_loss
        best = images.detach().float() if best is None else torch.where(better, images.detach().float(), best)
        best_loss = torch.minimum(best_loss, loss.detach())
    if not torch.isfinite(best_loss):
        raise FloatingPointError(f"epoch {epoch}: the synthesis loss is not finite; lower synthesis_lr or the weights")
    return best, target
