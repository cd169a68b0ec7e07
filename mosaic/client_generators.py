"""Mosaic, part 1: each client trains a lightweight unconditional generator on its own real data.

Mosaic, arXiv 2505.19699, phase 1:  L_G = L_adv + lambda_e L_entropy + lambda_d L_diversity + lambda_i L_inversion,
with the client's frozen model f_i as the judge of the last three.

Differs from the paper or takes a side where its text and its code differ:
- f_i is the client's model of the last warm-up round, frozen in eval mode; the code trains a fresh classifier and
  leaves it in training mode, so that fakes drift its BatchNorm statistics.
- The discriminator is a network of its own, as in the code, but without BatchNorm: where each batch of real and of fake
  images is standardised by itself, the generators of clients with one or two classes end in checkerboards.
  Its weights start from He's law, since DCGAN's N(0, 0.02) leaves a network without BatchNorm blind at first.
- Entropy and diversity are taken over the classes that the client holds (the code: over all of them), so that nobody
  is asked for images of a class it has never seen. Diversity wants them as frequent as the client has them; with
  ``diversity="uniform"``, the code's, a client with 31 images of one class and 5,400 of another is driven to noise that
  its model gives to both by half.
- The inversion loss matches the BatchNorm statistics of f_i and has a gradient, for clients with fewer than ``tau``
  samples, as the text says; in the code it is switched off, and would run without gradients. It is a mean of squares
  over layers and channels: as DeepInversion's sum of norms, lambda_i = 10 drowns the adversarial loss on small images.
- The generator's tanh range [-1, 1] is that of the data; in the code data are standardised beyond it.
- All clients train for the same number of steps; the code trains for 200 epochs (about 17,000 steps of 64 for an
  average client of 5,400 images), which is 100 times more for a large client than for a small one.
- All classes are used; the code's filter drops class 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.contract import choice, scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import augment, normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.synthesis.dcgan import Generator, dcgan_init, discriminator
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.prediction import frozen_network
from mosaic.fl.training.sgd import batches
from mosaic.starting_models import own_model


@dataclass(frozen=True)
class GeneratorConfig:
    protocol: str = choice("rounds", "oneshot")  # whose model the judge is: see clients.py
    latent: int = 100  # DCGAN's
    ngf: int = 64  # channels of the last hidden layer: 3.57 M parameters in all
    generator_steps: int = scaled_steps(17_000, "client")
    generator_batch: int = 64
    generator_lr: float = 2e-4  # Adam, beta1 0.5: DCGAN's, and the code's
    discriminator_norm: str = choice("none", "batch")  # the code: batch
    lambda_e: float = 1.0  # entropy; the text's range 0.5-2, the code 0
    lambda_d: float = 5.0  # diversity; the text's range 2-10, the code 5
    lambda_i: float = 10.0  # inversion; the text's range 5-15, the code 10 but unused
    diversity: str = choice(
        "shares", "uniform"
    )  # how frequent the client's classes shall be; the code: uniform
    tau: int = 500  # inversion for clients with fewer samples; the text gives no number


@stage(version=3)
def client_generator(
    task: Task, config: GeneratorConfig, client: int
) -> dict[str, State | dict[str, float]]:
    """One client's trained generator, uploaded, and the means of its losses over the last tenth of its steps."""
    shard = open_federation(task).shards[client]
    torch.manual_seed(seed_of(task.seed, "generator", client))
    source = task.source
    G = Generator(config.latent, config.ngf, source.channels, source.size)
    D = discriminator(
        config.ngf, source.channels, source.size, config.discriminator_norm == "batch"
    )
    for network in (G, D):
        dcgan_init(network)
        network.to(device(), memory_format=torch.channels_last).train()
    judge_spec = task.spec_at(shard.width)
    judge = frozen_network(own_model(task, config.protocol, client), judge_spec)
    held = shard.classes.to(device())
    shares = (
        shard.label_counts[shard.classes].to(device())
        if config.diversity == "shares"
        else torch.ones_like(held)
    )
    shares = shares / shares.sum()
    adam = {"lr": config.generator_lr, "betas": (0.5, 0.999), "fused": True}
    of_G, of_D = torch.optim.Adam(G.parameters(), **adam), torch.optim.Adam(D.parameters(), **adam)

    rng = stream(task.seed, "generator", client, "noise")
    order = shard.indices[
        batches(shard.size, config.generator_batch, config.generator_steps, rng).to(device())
    ]
    inverts = config.lambda_i > 0 and shard.size < config.tau
    late = config.generator_steps - max(1, config.generator_steps // 10)
    means = torch.zeros(5, device=device())
    for step, batch in enumerate(order):
        real = normalise(
            augment(shard.images[batch], rng) if source.augment else shard.images[batch]
        )
        real = real.contiguous(memory_format=torch.channels_last)
        z = torch.randn(len(batch), config.latent, generator=rng).to(device(), non_blocking=True)
        with metered("generator", config, inverts, real.shape[1:], judge_spec, items=len(batch)):
            with autocast(task.precision):
                fake = G(z)
                loss_D = losses.adversarial_discriminator(
                    *told_apart(D, real, fake.detach(), config)
                )
            of_D.zero_grad(set_to_none=True)
            loss_D.backward()
            of_D.step()

            D.requires_grad_(False)  # the generator's step needs no gradient of D's weights
            with autocast(task.precision):
                adversarial = losses.adversarial_generator(D(fake).float())
                entropy, diversity, inversion = judged(judge, fake, held, shares, inverts)
            loss_G = (
                adversarial
                + config.lambda_e * entropy
                + config.lambda_d * diversity
                + config.lambda_i * inversion
            )
            of_G.zero_grad(set_to_none=True)
            loss_G.backward()
            of_G.step()
            D.requires_grad_(True)
        if step >= late:
            means += torch.stack([loss_D, adversarial, entropy, diversity, inversion]).detach()
    means = dict(
        zip(
            ("discriminator", "adversarial", "entropy", "diversity", "inversion"),
            means.tolist(),
            strict=True,
        )
    )
    if not all(math.isfinite(mean) for mean in means.values()):
        raise FloatingPointError(
            f"client {client}'s generator diverged: {means}; lower generator_lr or the lambdas"
        )
    return {
        "state": upload(LiveNetwork(G).save(), "generator"),
        "losses": {k: v / (config.generator_steps - late) for k, v in means.items()},
    }


def told_apart(
    D: nn.Module, real: Tensor, fake: Tensor, config: GeneratorConfig
) -> tuple[Tensor, Tensor]:
    """The discriminator's logits (B, 1) of real and of fake images (B, C, S, S); BatchNorm sees them apart."""
    if config.discriminator_norm == "batch":
        return D(real).float(), D(fake).float()
    of_real, of_fake = D(torch.cat([real, fake])).float().chunk(2)
    return of_real, of_fake


def judged(
    judge: nn.Module, fake: Tensor, held: Tensor, shares: Tensor, inverts: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """L_entropy, L_diversity (over the classes ``held``) and L_inversion of a batch, by the client's frozen model."""
    if inverts:
        with losses.StatisticsMatch(judge) as match:
            logits = judge(fake)
        inversion = match.squares()
    else:
        logits, inversion = judge(fake), fake.new_zeros(())
    logits = logits.float()[:, held]
    return losses.prediction_entropy(logits), losses.class_imbalance(logits, shares), inversion


class Ensemble:
    """The clients' generators, in eval mode, as one source of images; client i drawn with probability p_i."""

    def __init__(
        self,
        task: Task,
        config: GeneratorConfig,
        trained: Sequence[dict],
        probabilities: Sequence[float],
    ):
        """``trained``: what ``client_generator`` returned for each client; it is read as it is needed."""
        source = task.source
        self.task, self.trained = task, trained
        self.shape = (config.latent, config.ngf, source.channels, source.size)
        with torch.random.fork_rng(devices=[]):
            network = Generator(*self.shape).to(device(), memory_format=torch.channels_last)
        self.home = LiveNetwork(network.eval().requires_grad_(False))
        self.probabilities = torch.tensor(probabilities, dtype=torch.float64)

    @torch.no_grad()
    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images (n, C, S, S) in [-1, 1] in random order, and the client (n,) whose generator drew each."""
        clients = torch.multinomial(self.probabilities, n, replacement=True, generator=rng)
        z = torch.randn(n, self.home.network.latent, generator=rng).to(device())
        shape = (n, self.shape[2], self.shape[3], self.shape[3])
        images = torch.empty(shape, device=device(), memory_format=torch.channels_last)
        for client in clients.unique().tolist():
            self.home.load(self.trained[client]["state"])
            mine = (clients == client).nonzero().flatten().to(device())
            for part in mine.split(512):
                with metered("draw", *self.shape, items=len(part)), autocast(self.task.precision):
                    images[part] = self.home.network(z[part]).float()
        return images, clients.to(device())
