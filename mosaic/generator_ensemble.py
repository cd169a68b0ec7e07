"""Mosaic's synthetic images: the clients' generators as one source."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mosaic.client_generators import GeneratorConfig
from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.synthesis import dcgan
from mosaic.fl.task import Task

IMAGES_PER_PASS = 512  # that a generator draws at a time


class Ensemble:
    """The clients' generators in eval mode, as one source of images."""

    def __init__(
        self,
        task: Task,
        config: GeneratorConfig,
        trained: Sequence[dict],
        probabilities: Sequence[float],
    ):
        """Build the one network that the clients' states are loaded into.

        Args:
            task: gives the shape of an image and the precision.
            config: gives the networks' shape.
            trained: what ``client_generator`` returned for each client; an item is read when its
                client draws.
            probabilities: how likely each client draws an image, up to a common factor.
        """
        source = task.source
        self.task = task
        self.trained = trained
        self.shape = (config.latent, config.ngf, source.channels, source.size)
        with torch.random.fork_rng(devices=[]):
            network = dcgan.Generator(*self.shape)
        network.to(device()).to(memory_format=torch.channels_last)
        self.network = network.eval().requires_grad_(False)
        self.live = LiveNetwork(self.network)
        self.probabilities = torch.tensor(probabilities, dtype=torch.float64)

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw images, each by the generator of a random client.

        Args:
            n: number of images.
            rng: source of clients and noise.

        Returns:
            Images (n, C, S, S) in [-1, 1] in random order, and the client (n,) whose generator drew
            each.
        """
        latent, _, channels, size = self.shape
        clients = torch.multinomial(self.probabilities, n, replacement=True, generator=rng)
        noise = torch.randn(n, latent, generator=rng).to(device())
        images = torch.empty(
            (n, channels, size, size), device=device(), memory_format=torch.channels_last
        )
        for client in clients.unique().tolist():
            self.live.load(self.trained[client]["state"])
            of_client = (clients == client).nonzero().flatten().to(device())
            for part in of_client.split(IMAGES_PER_PASS):
                with metered("draw", *self.shape, items=len(part)), autocast(self.task.precision):
                    images[part] = self.network(noise[part]).float()
        return images, clients.to(device())
