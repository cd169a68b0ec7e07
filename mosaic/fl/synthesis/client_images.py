"""The cached stages in which clients train a generator and upload images of it, not the generator.

In the shapes below, n is the number of images and (C, S, S) the shape of one.
"""

import math

import torch
from torch import Tensor

from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import to_uint8
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.synthesis.client_cvaes import client_cvae
from mosaic.fl.synthesis.client_flows import client_flow
from mosaic.fl.synthesis.cvae import CvaeConfig
from mosaic.fl.synthesis.dcgan import Generator
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.flow import FlowConfig
from mosaic.fl.synthesis.gan_training import (
    GanConfig,
    discriminator_step,
    new_adams,
    new_networks,
    real_images,
)
from mosaic.fl.synthesis.weight_average import WeightAverage
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.sgd import batches

IMAGES_PER_PASS = 512


@stage(version=1, sees=Task.without_models)
def gan_images(task: Task, config: GanConfig, client: int, n: int) -> Tensor:
    """Images of a client's GAN, which is trained on its own images and without any classifier.

    Returns:
        uint8 (n, C, S, S), uploaded.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    shard = open_federation(task).shards[client]
    generator, discriminator = new_networks(task, config, client)
    of_generator, of_discriminator = new_adams(generator, discriminator, config)
    average = WeightAverage(generator, config.ema)
    rng = stream(task.seed, "gan", client)
    order = batches(shard.size, config.generator_batch, config.generator_steps, rng)
    order = shard.indices[order.to(device())]
    total = torch.zeros((), device=device())
    for batch in order:
        real = real_images(task, shard, batch, rng)
        noise = torch.randn(len(batch), config.latent, generator=rng)
        noise = noise.to(device(), non_blocking=True)
        with metered("generator", "gan", config, real.shape[1:], items=len(batch)):
            with autocast(task.precision):
                fake = generator(noise)
            total += discriminator_step(
                discriminator, of_discriminator, real, fake, task, config
            ).detach()

            discriminator.requires_grad_(False)
            with autocast(task.precision):
                loss = losses.adversarial_generator(discriminator(fake).float())
            of_generator.zero_grad(set_to_none=True)
            loss.backward()
            of_generator.step()
            average.update()
            discriminator.requires_grad_(True)
        total += loss.detach()

    if not math.isfinite(float(total)):
        raise FloatingPointError(f"client {client}'s GAN diverged: lower generator_lr")
    LiveNetwork(generator).load(average.save())
    return upload(to_uint8(_drawn(generator, task, n, rng)).contiguous(), "images")


@torch.no_grad()
def _drawn(generator: Generator, task: Task, n: int, rng: torch.Generator) -> Tensor:
    """``n`` images (n, C, S, S) in [-1, 1] of a generator in eval mode."""
    generator.eval()
    noise = torch.randn(n, generator.latent, generator=rng)
    parts = []
    for part in noise.split(IMAGES_PER_PASS):
        shape = (generator.latent, generator.size, task.source.channels)
        n_weights = sum(weight.numel() for weight in generator.parameters())
        with metered("draw", "gan", *shape, n_weights, items=len(part)), autocast(task.precision):
            parts.append(generator(part.to(device())).float())
    return torch.cat(parts)


@stage(version=1, sees=Task.without_models)
def cvae_images(task: Task, config: CvaeConfig, client: int, n: int) -> Tensor:
    """Images of a client's conditional VAE, with labels as frequent as in its data.

    The VAE is that of ``client_cvae``; its decoder is not uploaded.

    Returns:
        uint8 (n, C, S, S), uploaded.
    """
    return _drawn_by_label(task, config, client_cvae(task, config, client)["state"], client, n)


@stage(version=1, sees=Task.without_models)
def flow_images(task: Task, config: FlowConfig, client: int, n: int) -> Tensor:
    """Images of a client's rectified flow, as :func:`cvae_images`."""
    return _drawn_by_label(task, config, client_flow(task, config, client)["state"], client, n)


def _drawn_by_label(
    task: Task, config: CvaeConfig | FlowConfig, decoder: State, client: int, n: int
) -> Tensor:
    """What ``cvae_images`` returns, by any kind of decoder."""
    shard = open_federation(task).shards[client]
    source = Decoders(task, config, [decoder], shard.label_counts[None])
    images, _ = source.draw(n, stream(task.seed, "images", client))
    return upload(to_uint8(images).contiguous(), "images")
