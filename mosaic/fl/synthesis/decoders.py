"""Clients' decoders as one source of labelled images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.synthesis import cvae, flow
from mosaic.fl.synthesis.cvae import CvaeConfig, n_pixels, new_decoder, with_label
from mosaic.fl.synthesis.flow import FlowConfig
from mosaic.fl.task import Task

IMAGES_PER_PASS = 512

NOISE_LIMIT = 6.0
"""Of a flow's noise, which is not truncated: no value beyond it comes up in 10^8."""


class Decoder(NamedTuple):
    """A network that draws images by label.

    Attributes:
        network: Noise with the label's one-hot (B, Z + K) to logits of an image's values (B, P).
        latent: Z.
        truncation: Noise comes from N(0, 1), without values beyond this one.
        work: What draws are called for the FLOP meter.
    """

    network: nn.Module
    latent: int
    truncation: float
    work: tuple


def decoder_of(task: Task, config: CvaeConfig | FlowConfig, n_classes: int) -> Decoder:
    """The network that the clients' states are loaded into.

    Args:
        task: The shape of the images.
        config: A CVAE's settings, or else a flow's.
        n_classes: K; 0: a CVAE whose decoder does not see the labels.
    """
    if isinstance(config, CvaeConfig):
        work = ("cvae", *cvae.flop_shapes(task, config, n_classes))
        network = new_decoder(task, config, n_classes)
        return Decoder(network, config.cvae_latent, config.cvae_truncation, work)
    work = ("flow", *flow.flop_shapes(task, config))
    return Decoder(flow.new_flow(task, config), n_pixels(task), NOISE_LIMIT, work)


class Decoders:
    """Clients' decoders as one source of images that come with their labels.

    Each image is drawn by one client for one label. Clients are drawn in proportion to the number
    of their samples, and labels in proportion to the client's label counts. With ``balanced``, all
    classes that some client has are equally frequent, and the clients of a class are drawn in
    proportion to their counts of it. No client draws a class that it lacks.

    Draws are stratified: each pair of client and label is drawn as often as its probability says,
    to within one image, and so is each class with ``balanced``.

    Args:
        task: The shape of the images, and the precision.
        config: The settings of the decoders, as :func:`decoder_of` takes them.
        states: The decoders, one per row of ``label_counts``.
        label_counts: (N, K), how many samples of each class each client has.
        balanced: Whether classes are equally frequent.
        conditional: Whether the decoders see labels. Those that do not draw a single class each.
    """

    def __init__(
        self,
        task: Task,
        config: CvaeConfig | FlowConfig,
        states: Sequence[State],
        label_counts: Tensor,
        balanced: bool = False,
        conditional: bool = True,
    ):
        self.task = task
        self.states = states
        self.n_classes = label_counts.shape[1] if conditional else 0
        self.decoder = decoder_of(task, config, self.n_classes)
        self.live_decoder = LiveNetwork(self.decoder.network.eval().requires_grad_(False))

        self.weights = label_counts.double()  # (N, K), proportional to the pairs' probabilities
        if balanced:
            self.weights = self.weights / self.weights.sum(0).clamp_min(1)

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images (n, C, S, S) in [-1, 1], and the client (n,) whose decoder drew each."""
        images, _, clients = self.draw_labelled(n, rng)
        return images, clients

    def draw_labelled(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``n`` images in random order.

        Returns:
            Images (n, C, S, S) in [-1, 1], their labels (n,), and the client (n,) whose decoder
            drew each.
        """
        z, labels, clients = self.plan(n, rng)
        return self.decode(z, labels, clients), labels, clients

    def plan(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noise (n, Z), labels (n,) and clients (n,) of ``n`` images in random order."""
        # Pairs of label and client side by side on a line, each as long as its weight, label by
        # label: n equally distant points with a random offset meet a pair as often as its length
        # says, to within one, and a label too.
        ends = self.weights.T.flatten().cumsum(0)  # (K N,)
        offset = torch.rand((), generator=rng)
        points = (torch.arange(n, dtype=torch.float64) + offset) / n * ends[-1]
        pairs = torch.searchsorted(ends, points, right=True)
        pairs = pairs[torch.randperm(n, generator=rng)]
        n_clients = len(self.weights)

        # A truncated normal, by the inverse of its distribution function.
        truncation = self.decoder.truncation
        u = 2 * torch.rand(n, self.decoder.latent, generator=rng, dtype=torch.float64) - 1
        z = math.sqrt(2) * torch.erfinv(u * math.erf(truncation / math.sqrt(2)))

        labels = pairs // n_clients
        clients = pairs % n_clients
        return z.float().to(device()), labels.to(device()), clients.to(device())

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor, clients: Tensor) -> Tensor:
        """Images by given clients' decoders for given noise and labels.

        Args:
            z: Noise (n, Z).
            labels: (n,).
            clients: Whose decoder draws each image, (n,).

        Returns:
            Images (n, C, S, S) in [-1, 1], channels_last.
        """
        source = self.task.source
        images = torch.empty(len(z), source.channels, source.size, source.size, device=device())
        for client in clients.unique().tolist():
            self.live_decoder.load(self.states[client])
            rows = (clients == client).nonzero().flatten()
            for part in rows.split(IMAGES_PER_PASS):
                inputs = with_label(z[part], labels[part], self.n_classes)
                with (
                    metered("draw", *self.decoder.work, items=len(part)),
                    autocast(self.task.precision),
                ):
                    logits = self.live_decoder.network(inputs).float()
                # 2 sigmoid(logits) - 1 is tanh(logits / 2)
                images[part] = torch.tanh(logits / 2).view(-1, *images.shape[1:])
        return images.contiguous(memory_format=torch.channels_last)
