"""FLOPs of single networks per image, counted on the meta device, where nothing is computed."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import Spec
from mosaic.fl.synthesis.conditional import ConditionalGenerator
from mosaic.fl.synthesis.cvae import CvaeConfig, decoder_network, encoder_network, n_pixels
from mosaic.fl.synthesis.dcgan import Generator, discriminator
from mosaic.fl.synthesis.flow import TIME_FEATURES, FlowConfig, flow_network
from mosaic.fl.synthesis.upsampling import UpsamplingGenerator
from mosaic.fl.task import Task


def passes(network: nn.Module, *inputs: Tensor, weights: bool, images: bool) -> float:
    """FLOPs of a forward pass and of the gradients that are asked for.

    Args:
        network: a network on the meta device.
        *inputs: its inputs, of two items each.
        weights: whether there is a backward pass to the network's weights.
        images: whether there is a backward pass to its inputs.

    Returns:
        FLOPs per item; a multiply-add counts as two.
    """
    network.requires_grad_(weights)
    for x in inputs:
        if x.is_floating_point():
            x.requires_grad_(images)

    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        output = network(*inputs)
        if weights or images:
            output.sum().backward()
    return counter.get_total_flops() / len(inputs[0])


@cache
def classifier(spec: Spec, weights: bool = False, images: bool = False) -> float:
    """FLOPs per image of a classifier; ``weights`` and ``images`` as in :func:`passes`."""
    network = live_network(spec, "meta").evaluating("average")
    batch = two_items(spec.channels, spec.size, spec.size)
    return passes(network, batch, weights=weights, images=images)


@cache
def dcgan(
    latent: int, ngf: int, channels: int, size: int, batch_norm: bool
) -> tuple[float, float, float]:
    """FLOPs per image of a DCGAN.

    Args:
        latent: dimensions of the noise.
        ngf: base number of channels.
        channels: channels of the images.
        size: their height and width.
        batch_norm: whether the discriminator has BatchNorm.

    Returns:
        Of the generator: an image that is drawn, and one that the generator learns from. Of the
        discriminator: all its passes in one training step.
    """
    with torch.device("meta"):
        generator = Generator(latent, ngf, channels, size)
        critic = discriminator(ngf, channels, size, batch_norm)
    noise = two_items(latent)
    batch = two_items(channels, size, size)

    # The discriminator learns from a real and a generated image, and passes a gradient on.
    learning = passes(critic, batch, weights=True, images=False)
    passing_on = passes(critic, batch.detach(), weights=False, images=True)
    of_discriminator = 2 * learning + passing_on

    drawn = passes(generator, noise.detach(), weights=False, images=False)
    learnt = passes(generator, noise.detach(), weights=True, images=False)
    return drawn, learnt, of_discriminator


def cvae(task: Task, config: CvaeConfig, n_classes: int) -> tuple[float, float]:
    """FLOPs per image of a CVAE.

    Args:
        task: the shape of the images.
        config: the networks.
        n_classes: number of labels that they see; 0: none.

    Returns:
        An image that is drawn, and one that encoder and decoder learn from.
    """
    networks = CvaeConfig(
        cvae_latent=config.cvae_latent,
        cvae_hidden=config.cvae_hidden,
        cvae_network=config.cvae_network,
        cvae_width=config.cvae_width,
    )
    return _cvae(Task(dataset=task.dataset), networks, n_classes)


@cache
def _cvae(task: Task, config: CvaeConfig, n_classes: int) -> tuple[float, float]:
    """:func:`cvae`, of a task and settings without what makes no difference."""
    with torch.device("meta"):
        encoder = encoder_network(task, config, n_classes)
        decoder = decoder_network(task, config, n_classes)
    image = two_items(n_pixels(task) + n_classes)
    code = two_items(config.cvae_latent + n_classes)

    # The decoder passes a gradient on to the encoder
    drawn = passes(decoder, code.detach(), weights=False, images=False)
    learnt = passes(decoder, code.detach(), weights=True, images=True)
    learnt += passes(encoder, image, weights=True, images=False)
    return drawn, learnt


def flow(task: Task, config: FlowConfig) -> tuple[float, float]:
    """FLOPs per image of a rectified flow for the task's images: drawn, learnt."""
    network = FlowConfig(flow_hidden=config.flow_hidden, flow_euler=config.flow_euler)
    return _flow(Task(dataset=task.dataset), network)


@cache
def _flow(task: Task, config: FlowConfig) -> tuple[float, float]:
    """:func:`flow`, of a task and settings without what makes no difference."""
    with torch.device("meta"):
        network = flow_network(task, config)
    n_classes = task.source.n_classes
    noise = two_items(network.n_values + n_classes)
    drawn = passes(network, noise, weights=False, images=False)
    one_step = two_items(network.n_values + n_classes + TIME_FEATURES)
    learnt = passes(network.network, one_step, weights=True, images=False)
    return drawn, learnt


@cache
def server_generator(
    kind: str, latent: int, ngf: int, channels: int, size: int, n_classes: int
) -> tuple[float, float]:
    """FLOPs per image of a generator at the server.

    Args:
        kind: "upsampling", or how a conditional generator takes its label: "multiply" or
            "concatenate".
        latent: dimensions of the noise.
        ngf: base number of channels of a conditional generator.
        channels: channels of the images.
        size: their height and width.
        n_classes: number of labels of a conditional generator.

    Returns:
        An image that is drawn, and one that the generator learns from.
    """
    inputs: tuple[Tensor, ...]
    with torch.device("meta"):
        if kind == "upsampling":
            generator = UpsamplingGenerator(latent, channels, size)
            inputs = (two_items(latent),)
        else:
            generator = ConditionalGenerator(latent, n_classes, channels, size, kind, ngf)
            inputs = (two_items(latent), torch.zeros(2, dtype=torch.long))

    drawn = passes(generator, *inputs, weights=False, images=False)
    learnt = passes(generator, *inputs, weights=True, images=False)
    return drawn, learnt


def two_items(*shape: int) -> Tensor:
    """A batch of two items on the meta device: BatchNorm in training needs more than one."""
    return torch.zeros(2, *shape, device="meta")
