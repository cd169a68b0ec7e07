"""A client's GAN on its own images: the networks, and the discriminator's step.

The networks are DCGAN's (Radford et al., ICLR 2016), the loss that of Goodfellow et al., 2014. What
else the generator learns from is its method's matter.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mosaic.fl.contract import added_later, choice, scaled_steps
from mosaic.fl.data.federation import Shard
from mosaic.fl.data.transforms import augment, normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.rng import seed_of
from mosaic.fl.synthesis import dcgan
from mosaic.fl.synthesis.spectral_norm import normalise_spectra
from mosaic.fl.task import Task
from mosaic.fl.training import losses


@dataclass(frozen=True)
class GanConfig:
    """The networks of a client's GAN and how they are trained."""

    latent: int = 100  # values of a noise vector; DCGAN's
    ngf: int = 64  # channels of the last hidden layer: 3.57 M parameters in all
    # Mosaic's code on Fashion-MNIST: 200 epochs of a client's 5,400 images
    generator_steps: int = scaled_steps(17_000, "client", batch="generator_batch")
    generator_batch: int = 64
    generator_lr: float = 2e-4  # Adam, beta1 0.5: DCGAN's, and the code's
    # The code: batch. "spectral" is Miyato et al.'s, ICLR 2018 (spectral_norm.py)
    discriminator_norm: str = choice("none", "batch", "spectral")
    # Of the discriminator's Adam; 0: generator_lr. Two rates are Heusel et al.'s, NeurIPS 2017
    discriminator_lr: float = added_later(0.0)
    # Weight of the past in the moving average of the generator's weights, which is uploaded in
    # their place; 0: no average. Yazici et al., ICLR 2019 (weight_average.py)
    ema: float = added_later(0.0)


def new_networks(
    task: Task, config: GanConfig, client: int
) -> tuple[dcgan.Generator, nn.Sequential]:
    """The client's generator and discriminator, in training mode; sets the global random state."""
    source = task.source
    torch.manual_seed(seed_of(task.seed, "generator", client))
    generator = dcgan.Generator(config.latent, config.ngf, source.channels, source.size)
    batch_norm = config.discriminator_norm == "batch"
    discriminator = dcgan.discriminator(config.ngf, source.channels, source.size, batch_norm)
    for network in (generator, discriminator):
        dcgan.dcgan_init(network)
    if config.discriminator_norm == "spectral":
        normalise_spectra(discriminator)
    for network in (generator, discriminator):
        network.to(device()).to(memory_format=torch.channels_last).train()
    return generator, discriminator


def new_adams(
    generator: nn.Module, discriminator: nn.Module, config: GanConfig
) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """DCGAN's optimisers of both networks, each with its own rate."""
    of_discriminator = config.discriminator_lr or config.generator_lr
    return _adam(generator, config.generator_lr), _adam(discriminator, of_discriminator)


def _adam(network: nn.Module, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999), fused=True)


def real_images(task: Task, shard: Shard, batch: Tensor, rng: torch.Generator) -> Tensor:
    """The client's images (B, C, S, S) with these indices (B,), augmented where the data set is."""
    images = shard.images[batch]
    if task.source.augment:
        images = augment(images, rng)
    return normalise(images).contiguous(memory_format=torch.channels_last)


def discriminator_step(
    discriminator: nn.Sequential,
    adam: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    task: Task,
    config: GanConfig,
) -> Tensor:
    """(1) The discriminator's step minimises -log D(x) - log(1 - D(G(z))).

    Args:
        discriminator: D.
        adam: its optimiser.
        real: images x (B, C, S, S).
        fake: generated images G(z) (B, C, S, S).
        task, config: the federated problem and the generator's settings.

    Returns:
        The loss before the step.
    """
    with autocast(task.precision):
        logits = discriminator_logits(discriminator, real, fake.detach(), config)
        loss = losses.adversarial_discriminator(*logits)
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()
    return loss


def discriminator_logits(
    discriminator: nn.Module, real: Tensor, fake: Tensor, config: GanConfig
) -> tuple[Tensor, Tensor]:
    """The discriminator's logits (B, 1) of real and of generated images (B, C, S, S).

    With BatchNorm real and generated images are batches of their own, else they are one pass.
    """
    if config.discriminator_norm == "batch":
        return discriminator(real).float(), discriminator(fake).float()
    of_real, of_fake = discriminator(torch.cat([real, fake])).float().chunk(2)
    return of_real, of_fake
