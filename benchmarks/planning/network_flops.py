"""FLOPs of single networks, counted on the meta device."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import Spec
from mosaic.fl.synthesis.conditional import ConditionalGenerator
from mosaic.fl.synthesis.dcgan import Generator, discriminator
from mosaic.fl.synthesis.upsampling import UpsamplingGenerator


def passes(network: nn.Module, *inputs: Tensor, weights: bool, images: bool) -> float:
    """FLOPs an item of a pass through a network on the meta device, and of its gradients to weights and inputs."""
    network.requires_grad_(weights)
    inputs = tuple(x.requires_grad_(images) if x.is_floating_point() else x for x in inputs)
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        said = network(*inputs)
        if weights or images:
            said.sum().backward()
    return counter.get_total_flops() / len(inputs[0])


@cache
def classifier(spec: Spec, weights: bool = False, images: bool = False) -> float:
    network = live_network(spec, "meta").evaluating("average")
    return passes(
        network, pair_of(spec.channels, spec.size, spec.size), weights=weights, images=images
    )


@cache
def dcgan(
    latent: int, ngf: int, channels: int, size: int, batch_norm: bool
) -> tuple[float, float, float]:
    """Of the generator a drawn image, and one that is learnt from; of the discriminator all its passes of a step."""
    with torch.device("meta"):
        G, D = (
            Generator(latent, ngf, channels, size),
            discriminator(ngf, channels, size, batch_norm),
        )
    z, x = pair_of(latent), pair_of(channels, size, size)
    judged = 2 * passes(D, x, weights=True, images=False) + passes(
        D, x.detach(), weights=False, images=True
    )
    drawn, learnt = (
        passes(G, z.detach(), weights=weights, images=False) for weights in (False, True)
    )
    return drawn, learnt, judged


@cache
def server_generator(
    kind: str, latent: int, ngf: int, channels: int, size: int, n_classes: int
) -> tuple[float, float]:
    """Of a generator at the server: a drawn image, and one that is learnt from."""
    with torch.device("meta"):
        G = (
            UpsamplingGenerator(latent, channels, size)
            if kind == "upsampling"
            else ConditionalGenerator(latent, n_classes, channels, size, kind, ngf)
        )
        inputs = (pair_of(latent), torch.zeros(2, dtype=torch.long))[
            : 1 if kind == "upsampling" else 2
        ]
    return passes(G, *inputs, weights=False, images=False), passes(
        G, *inputs, weights=True, images=False
    )


def pair_of(*shape: int) -> Tensor:
    """Two items on the meta device, where nothing is computed: BatchNorm in training needs more than one."""
    return torch.zeros(2, *shape, device="meta")


def perceptron(*units: int) -> float:
    """A forward pass through linear layers."""
    return sum(2.0 * a * b for a, b in zip(units, units[1:], strict=False))
