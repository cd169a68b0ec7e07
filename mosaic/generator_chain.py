"""The clients' generators at several budgets: one training that leaves checkpoints on its way.

A checkpoint holds the networks, the optimisers' states and the average weights. Random numbers are
drawn per step and per pass, from named parts. So going on from a checkpoint is, bit by bit, the
same as never stopping, and all budgets together cost what the largest costs.

The training is that of ``client_generators.py``, on other random numbers: there all are drawn from
one stream, which depends on the number of steps.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mosaic.client_generators import (
    LOSSES,
    GeneratorConfig,
    Training,
    first_of_last_tenth,
    mean_losses,
    new_training,
    training_step,
)
from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.device import device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves
from mosaic.fl.synthesis.gan_training import GanConfig, real_images
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import samples_per_batch

SHARES = (0.015, 0.03, 0.1, 0.3, 1.0)
"""Shares of the paper's steps after which there is a checkpoint."""

Checkpoint = dict[str, Any]
"""``generator`` and ``discriminator`` (states), ``of_generator`` and ``of_discriminator`` (a dict
of Adam's tensors per parameter), ``average`` (the generator's average weights; older ones without
an average lack it) and ``losses`` (see ``client_generator``)."""


def steps_at(share: float, generator_batch: int) -> int:
    """The steps at a share of the paper's images, with so many images per step."""
    default = GanConfig()
    images = default.generator_steps * default.generator_batch
    return max(1, round(share * images / generator_batch))


def checkpoints_to(config: GeneratorConfig) -> list[int]:
    """The steps of all checkpoints up to ``generator_steps``, which is one of them."""
    steps = {steps_at(share, config.generator_batch) for share in SHARES}
    before = {n for n in steps if n < config.generator_steps}
    return sorted({*before, config.generator_steps})


@stage(version=1)
def chained_generator(
    task: Task, config: GeneratorConfig, client: int
) -> dict[str, State | dict[str, float]]:
    """Upload a client's generator as it is at a checkpoint.

    Args:
        task: the federated problem.
        config: the generator's settings, with the steps of the checkpoint.
        client: the client's number.

    Returns:
        As ``client_generator``.
    """
    trained = generator_checkpoint(task, config, client)
    state = trained["generator"]
    if config.ema:
        state = state | trained["average"]
    return {"state": upload(state, "generator"), "losses": trained["losses"]}


@stage(version=1)
def generator_checkpoint(task: Task, config: GeneratorConfig, client: int) -> Checkpoint:
    """Train a client's generator from the last checkpoint to the one at ``generator_steps``.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    training = new_training(task, config, client)
    *earlier, stop = checkpoints_to(config)
    start = 0
    if earlier:
        start = earlier[-1]
        at_start = replace(config, generator_steps=start)
        restore(training, generator_checkpoint(task, at_start, client))
    return go_on(training, task, config, client, start, stop)


def checkpoint_waves(task: Task, config: GeneratorConfig) -> Waves:
    """All checkpoints of all clients, a wave per checkpoint."""
    waves: Waves = []
    for steps in checkpoints_to(config):
        checkpoint = partial(generator_checkpoint, task, replace(config, generator_steps=steps))
        waves.append([partial(checkpoint, client) for client in range(task.n_clients)])
    return waves


def go_on(
    training: Training, task: Task, config: GeneratorConfig, client: int, start: int, stop: int
) -> Checkpoint:
    """Train from step ``start`` to step ``stop``.

    Args:
        training: the GAN after ``start`` steps; it is changed.
        task, config: the federated problem and the generator's settings.
        client: the client's number.
        start: the number of steps that were taken.
        stop: the number of steps afterwards. The losses are means over the last tenth of them,
            as far as they are after ``start``.

    Returns:
        The checkpoint.
    """
    shard = open_federation(task).shards[client]
    first_counted = max(start, first_of_last_tenth(stop))
    totals = torch.zeros(len(LOSSES), device=device())
    for step, batch in enumerate(batches_between(task, shard, config, start, stop), start):
        rng = stream(task.seed, "generator", client, "step", step)
        real = real_images(task, shard, batch, rng)
        noise = torch.randn(len(batch), config.latent, generator=rng)
        of_step = training_step(training, task, config, real, noise, step)
        if step >= first_counted:
            totals += of_step

    return {
        "generator": LiveNetwork(training.generator).save(),
        "discriminator": LiveNetwork(training.discriminator).save(),
        "of_generator": adam_state(training.generator, training.of_generator),
        "of_discriminator": adam_state(training.discriminator, training.of_discriminator),
        "average": training.average.copied(),
        "losses": mean_losses(totals, config, client, first_counted, stop),
    }


def batches_between(
    task: Task, shard: Shard, config: GeneratorConfig, start: int, stop: int
) -> Iterator[Tensor]:
    """The images' indices of each step from ``start`` to ``stop``.

    The steps go through passes over the shuffled images, one after the other. A pass is the same
    whichever steps are asked for.
    """
    n = shard.size
    size = samples_per_batch(n, config.generator_batch)
    first_pass = start * size // n
    last_pass = (stop * size - 1) // n
    passes = []
    for i in range(first_pass, last_pass + 1):
        rng = stream(task.seed, "generator", shard.client, "pass", i)
        passes.append(torch.randperm(n, generator=rng))
    order = shard.indices[torch.cat(passes).to(device())]

    skipped = start * size - first_pass * n
    yield from order[skipped : skipped + (stop - start) * size].view(-1, size)


def adam_state(network: nn.Module, adam: torch.optim.Optimizer) -> list[dict[str, Tensor]]:
    """A copy of the optimiser's tensors for each of the network's parameters."""
    states = []
    for parameter in network.parameters():
        of_parameter = adam.state[parameter]
        states.append({name: tensor.clone() for name, tensor in of_parameter.items()})
    return states


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put a new training into the state of a checkpoint."""
    for name in ("generator", "discriminator"):
        network = getattr(training, name)
        LiveNetwork(network).load(checkpoint[name])
        adam = getattr(training, f"of_{name}")
        states = checkpoint[f"of_{name}"]
        for parameter, state in zip(network.parameters(), states, strict=True):
            adam.state[parameter] = {
                "step": state["step"].clone(),
                # In the parameter's memory format: the fused step goes through memory as it lies
                "exp_avg": torch.empty_like(parameter).copy_(state["exp_avg"]),
                "exp_avg_sq": torch.empty_like(parameter).copy_(state["exp_avg_sq"]),
            }
    if training.average.weights:
        training.average.load(checkpoint["average"])
