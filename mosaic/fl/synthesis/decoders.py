"""Clients' decoders as one source of labelled images."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.synthesis.cvae import CvaeConfig, flop_shapes, new_decoder, with_label
from mosaic.fl.task import Task


class Decoders:
    """Clients' decoders as one source of images that come with their labels.

    A client is drawn in proportion to its size and a label in proportion to that client's counts; with ``balanced``
    all classes that somebody holds are equally frequent, and a class's clients are drawn by their counts of it. Nobody
    draws a class that it lacks. Draws are stratified: each pair of client and label is met as often as its probability
    says, to within one image, and so is each class where ``balanced``.
    """

    def __init__(
        self,
        task: Task,
        config: CvaeConfig,
        states: Sequence[State],
        label_counts: Tensor,
        balanced: bool = False,
        conditional: bool = True,
    ):
        """``label_counts`` (N, K); decoders that are not ``conditional`` draw a single class and are told no label."""
        self.task, self.config, self.states = task, config, states
        self.n_classes = label_counts.shape[1] if conditional else 0
        self.home = LiveNetwork(
            new_decoder(task, config, self.n_classes).eval().requires_grad_(False)
        )
        weights = label_counts.double()
        self.weights = weights / weights.sum(0).clamp_min(1) if balanced else weights

    def draw_labelled(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``n`` images (n, C, S, S) in [-1, 1] in random order, their labels (n,) and who drew each (n,)."""
        z, labels, clients = self.plan(n, rng)
        return self.decode(z, labels, clients), labels, clients

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images (n, C, S, S) in [-1, 1] and the client (n,) whose decoder drew each."""
        images, _, clients = self.draw_labelled(n, rng)
        return images, clients

    def plan(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noise (n, Z), labels (n,) and clients (n,) of ``n`` images in random order."""
        edges = self.weights.T.flatten().cumsum(
            0
        )  # class by class: a class's clients lie side by side
        at = (torch.arange(n, dtype=torch.float64) + torch.rand((), generator=rng)) / n * edges[-1]
        cell = torch.searchsorted(edges, at, right=True)[torch.randperm(n, generator=rng)]
        u = 2 * torch.rand(n, self.config.cvae_latent, generator=rng, dtype=torch.float64) - 1
        z = math.sqrt(2) * torch.erfinv(u * math.erf(self.config.cvae_truncation / math.sqrt(2)))
        n_clients = len(self.weights)
        return (
            z.float().to(device()),
            (cell // n_clients).to(device()),
            (cell % n_clients).to(device()),
        )

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor, clients: Tensor) -> Tensor:
        """The images (n, C, S, S) in [-1, 1] that these clients' decoders draw from noise (n, Z) and labels (n,)."""
        source = self.task.source
        images = torch.empty(len(z), source.channels, source.size, source.size, device=device())
        for client in clients.unique().tolist():
            self.home.load(self.states[client])
            for part in (clients == client).nonzero().flatten().split(512):
                asked = with_label(z[part], labels[part], self.n_classes)
                shape = flop_shapes(self.task, self.config, self.n_classes)
                with (
                    metered("draw", "cvae", *shape, items=len(part)),
                    autocast(self.task.precision),
                ):
                    logits = self.home.network(asked).float()
                images[part] = torch.tanh(logits / 2).view(-1, *images.shape[1:])  # 2 sigmoid - 1
        return images.contiguous(memory_format=torch.channels_last)
