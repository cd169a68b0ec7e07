"""Mosaic, part 1: each client trains a lightweight unconditional generator on its own real data.

Mosaic, arXiv 2505.19699, phase 1:

    L_G = L_adv + lambda_e L_entropy + lambda_d L_diversity + lambda_i L_inversion

The last three come from the client's frozen model f_i, the classifier of the generator's images.

Differs from the paper, or takes a side where its text and its code differ:
- f_i is the client's model of the last warm-up round, frozen; its BatchNorm follows the task's
  policy. The code trains a new classifier and leaves it in training mode, so that generated images
  change its BatchNorm statistics.
- The discriminator is a network of its own, as in the code, but without BatchNorm. Where each batch
  of real and of generated images is standardised by itself, the generators of clients with one or
  two classes end in checkerboards. Its weights start from He's law, since with DCGAN's N(0, 0.02) a
  network without BatchNorm gives all images the same logit at first.
- Entropy and diversity are taken over the classes that the client holds (the code: over all
  classes), so that no generator is driven towards classes that its client has never seen. Diversity
  wants the classes as frequent as they are in the client's data. With ``diversity="uniform"``, the
  code's, a client with 31 images of one class and 5,400 of another is driven to noise to which its
  model gives half of each.
- The inversion loss matches the BatchNorm statistics of f_i and has a gradient, for clients with
  fewer than ``tau`` samples, as the text says. In the code it is switched off, and would run
  without gradients. It is a mean of squares over layers and channels: as DeepInversion's sum of
  norms it drowns the adversarial loss on small images, at lambda_i = 10.
- The generator's tanh range [-1, 1] is that of the data. In the code data are standardised beyond
  it.
- All clients train for the same number of steps. The code trains for 200 epochs (about 17,000 steps
  of 64 for an average client of 5,400 images), which is 100 times more for a large client than for
  a small one.
- All classes are used; the code's filter drops class 0.
- ``judge_every=k``, ours, asks f_i in every k-th step only. The lambdas are not multiplied by k: a
  gradient k times as large in one step of k would raise Adam's mean of squares, and so shorten the
  other steps. Who wants it multiplies the lambdas.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.classifier_losses import classifier_losses, no_losses
from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.contract import added_later, choice
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.device import autocast, device
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.rng import stream
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
from mosaic.fl.training.prediction import frozen_network
from mosaic.fl.training.sgd import batches
from mosaic.starting_models import own_model

JUDGED = ("entropy", "diversity", "inversion")
"""The losses that come from the client's model."""

LOSSES = ("discriminator", "adversarial", *JUDGED)
"""The losses that a client reports of its generator's training."""


@dataclass(frozen=True)
class GeneratorConfig(GanConfig):
    """What determines the clients' generators. The networks' settings are inherited."""

    protocol: str = choice("rounds", "oneshot")  # whose model f_i is: see starting_models.py
    lambda_e: float = 1.0  # weight of the entropy; the text's range 0.5-2, the code 0
    lambda_d: float = 5.0  # weight of the diversity; the text's range 2-10, the code 5
    lambda_i: float = 10.0  # weight of the inversion; the text's range 5-15, the code 10 but unused
    diversity: str = choice("shares", "uniform")  # wanted frequency of classes; the code: uniform
    tau: int = 500  # inversion for clients with fewer samples; the text gives no number
    judge_every: int = added_later(1)  # f_i is asked in the steps 0, k, 2k, ...; see above


@stage(version=4)
def client_generator(
    task: Task, config: GeneratorConfig, client: int
) -> dict[str, State | dict[str, float]]:
    """Train one client's generator and upload it.

    Args:
        task: the federated problem.
        config: the generator's settings.
        client: the client's number.

    Returns:
        The generator's ``state``, and its ``losses``: the means of :data:`LOSSES` over the last
        tenth of the steps. See :func:`mean_losses`.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    shard = open_federation(task).shards[client]
    training = new_training(task, config, client)

    rng = stream(task.seed, "generator", client, "noise")
    order = batches(shard.size, config.generator_batch, config.generator_steps, rng)
    order = shard.indices[order.to(device())]
    last_tenth = first_of_last_tenth(config.generator_steps)
    totals = torch.zeros(len(LOSSES), device=device())
    for step, batch in enumerate(order):
        real = real_images(task, shard, batch, rng)
        noise = torch.randn(len(batch), config.latent, generator=rng)
        of_step = training_step(training, task, config, real, noise, step)
        if step >= last_tenth:
            totals += of_step

    return {
        "state": upload(training.average.save(), "generator"),
        "losses": mean_losses(totals, config, client, last_tenth, config.generator_steps),
    }


@dataclass(frozen=True, eq=False)
class Training:
    """A client's GAN in training.

    Attributes:
        generator, discriminator: the networks, in training mode.
        of_generator, of_discriminator: their optimisers.
        average: the moving average of the generator's weights.
        spec: the network of the client's own model.
        inverts: whether the inversion loss is computed.
        other_losses: the entropy, diversity and inversion losses of generated images.
    """

    generator: nn.Module
    discriminator: nn.Sequential
    of_generator: torch.optim.Optimizer
    of_discriminator: torch.optim.Optimizer
    average: WeightAverage
    spec: Spec
    inverts: bool
    other_losses: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def new_training(task: Task, config: GeneratorConfig, client: int) -> Training:
    """A client's GAN before its first step, with the client's frozen model beside it."""
    shard = open_federation(task).shards[client]
    generator, discriminator = new_networks(task, config, client)
    of_generator, of_discriminator = new_adams(generator, discriminator, config)
    spec = task.spec_at(shard.width)
    own = own_model(task, config.protocol, client)
    classifier = frozen_network(own, spec, task.batch_norm)
    classes = shard.classes.to(device())
    shares = wanted_shares(shard, config)
    inverts = config.lambda_i > 0 and shard.size < config.tau

    def other_losses(fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return classifier_losses(classifier, fake, classes, shares, inverts)

    return Training(
        generator=generator,
        discriminator=discriminator,
        of_generator=of_generator,
        of_discriminator=of_discriminator,
        average=WeightAverage(generator, config.ema),
        spec=spec,
        inverts=inverts,
        other_losses=other_losses,
    )


def training_step(
    training: Training, task: Task, config: GeneratorConfig, real: Tensor, noise: Tensor, step: int
) -> Tensor:
    """One step of the discriminator and one of the generator.

    Args:
        training: its networks and optimisers are changed.
        task, config: the federated problem and the generator's settings.
        real: the client's images (B, C, S, S).
        noise: (B, Z), on any device.
        step: the number of steps before it.

    Returns:
        The :data:`LOSSES` (5,) before the step; 0 for those that are not computed in it.
    """
    noise = noise.to(device(), non_blocking=True)
    judged = is_judged(step, config)
    other_losses = training.other_losses if judged else no_losses
    what = ("generator", config, judged, training.inverts, real.shape[1:], training.spec)
    with metered(*what, items=len(real)):
        with autocast(task.precision):
            fake = training.generator(noise)
        discriminator_loss = discriminator_step(
            training.discriminator, training.of_discriminator, real, fake, task, config
        )
        terms = generator_step(
            training.of_generator,
            fake,
            training.discriminator,
            partial(other_losses, fake),
            task,
            config,
        )
        training.average.update()
    return torch.stack([discriminator_loss, *terms]).detach()


def is_judged(step: int, config: GeneratorConfig) -> bool:
    """Whether the client's model is asked in the step with this number; the first is 0."""
    return step % config.judge_every == 0


def first_of_last_tenth(steps: int) -> int:
    """The first of the last tenth of so many steps, and the last step at least."""
    return steps - max(1, steps // 10)


def generator_step(
    adam: torch.optim.Optimizer,
    fake: Tensor,
    discriminator: nn.Sequential,
    other_losses: Callable[[], tuple[Tensor, Tensor, Tensor]],
    task: Task,
    config: GeneratorConfig,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(2) The generator's step minimises L_G. It needs no gradient of the discriminator's weights.

    Args:
        adam: the generator's optimiser.
        fake: generated images G(z) (B, C, S, S).
        discriminator: D.
        other_losses: the entropy, diversity and inversion losses of ``fake``.
        task, config: the federated problem and the generator's settings.

    Returns:
        L_adv = -log D(G(z)) and the three other losses, before the step and without their weights.
    """
    discriminator.requires_grad_(False)
    with autocast(task.precision):
        adversarial = losses.adversarial_generator(discriminator(fake).float())
        entropy, diversity, inversion = other_losses()
    loss = (
        adversarial
        + config.lambda_e * entropy
        + config.lambda_d * diversity
        + config.lambda_i * inversion
    )
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()
    discriminator.requires_grad_(True)
    return adversarial, entropy, diversity, inversion


def mean_losses(
    totals: Tensor, config: GeneratorConfig, client: int, first: int, stop: int
) -> dict[str, float]:
    """The means of :data:`LOSSES` over some steps; of :data:`JUDGED`, over those with f_i.

    Args:
        totals: their sums (5,) over these steps.
        config: the generator's settings.
        client: the client's number.
        first: the number of the first of these steps.
        stop: the number after the last.

    Returns:
        The means; NaN where no step had f_i.

    Raises:
        FloatingPointError: one of them is not finite.
    """
    sums = dict(zip(LOSSES, totals.tolist(), strict=True))
    if not all(math.isfinite(total) for total in sums.values()):
        raise FloatingPointError(
            f"client {client}'s generator diverged: {sums}; lower generator_lr or the lambdas"
        )
    counts = dict.fromkeys(LOSSES, stop - first)
    judged = sum(is_judged(step, config) for step in range(first, stop))
    counts |= dict.fromkeys(JUDGED, judged)
    return {name: sums[name] / counts[name] if counts[name] else math.nan for name in LOSSES}


def wanted_shares(shard: Shard, config: GeneratorConfig) -> Tensor:
    """How frequent each of the client's classes is meant to be among generated images, summing to
    1."""
    counts = shard.label_counts[shard.classes].to(device())
    if config.diversity == "uniform":
        counts = torch.ones_like(counts)
    return counts / counts.sum()
