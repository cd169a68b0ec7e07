"""The one tuned inner loop: train, predict.

Images stay uint8 in memory and become floats a batch at a time; one resident network a shape; channels_last; bfloat16
autocast where the task says so. All batch indices of a call are drawn before its first step.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.data.transforms import augment, normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.rng import stream
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Samples(Protocol):
    """What can be trained on: uint8 images (n, C, H, W) and labels (n,) of a pool, by ``indices`` into it."""

    images: Tensor
    labels: Tensor
    indices: Tensor
    client: int


def n_steps(task: Task, n_samples: int) -> int:
    """Local steps a round of a client with ``n_samples``."""
    return task.epochs * math.ceil(n_samples / task.batch_size) if task.epochs else task.steps


def batches(n_samples: int, batch_size: int, steps: int, rng: torch.Generator) -> Tensor:
    """Indices (steps, b) that pass over shuffled data again and again; b is at most ``n_samples``, at least 2.

    (A BatchNorm layer cannot be trained on one value; a client with one sample sees it twice.)
    """
    b = max(2, min(batch_size, n_samples))
    shuffled_batches = math.ceil(steps * b / n_samples)
    order = torch.cat([torch.randperm(n_samples, generator=rng) for _ in range(shuffled_batches)])
    return order[: steps * b].view(steps, b)


def train(
    state: State,
    samples: Samples,
    task: Task,
    *names: int | str,
    round: int | None = None,
    width: float = 1.0,
    steps: int | None = None,
    loss: Loss = cross_entropy,
) -> State:
    """SGD on a client's samples from ``state``; a new state comes back, the old one is left as it is.

    ``round`` is the round of a client's local training. Training outside of rounds has ``names`` of its own instead. With
    the task's seed, either fixes the batches.
    ``loss(model, images, labels)`` is what is minimised. Raises FloatingPointError where a loss is not finite.
    """
    if round is not None:
        names = ("round", round, samples.client)
    spec = task.spec_at(width)
    home = live_network(spec, device())
    home.load(state)
    network = home.training()
    steps = n_steps(task, len(samples.indices)) if steps is None else steps
    rng = stream(task.seed, "batches", *names)
    order = batches(len(samples.indices), task.batch_size, steps, rng)
    order = samples.indices[order.to(device(), non_blocking=True)]
    with torch.enable_grad():
        total = _sgd(network, samples, order, spec, task, loss, rng)
    trained = home.save()
    total += sum(
        float(tensor.sum()) for tensor in trained.values()
    )  # the losses do not see the last step's result
    if not math.isfinite(total):
        raise FloatingPointError(
            f"{'/'.join(map(str, names))} diverged: lower the learning rate {task.lr}"
        )
    return trained


def _sgd(
    network: nn.Module, samples: Samples, order: Tensor, spec: Spec, task: Task, loss: Loss, rng
) -> float:
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=task.lr,
        momentum=task.momentum,
        weight_decay=task.weight_decay,
        fused=True,
    )
    total = torch.zeros((), device=device())
    augmented = task.source.augment
    for batch in order:
        images, labels = samples.images[batch], samples.labels[batch]
        images = normalise(augment(images, rng) if augmented else images)
        images = images.contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad(set_to_none=True)
        with metered("train", spec, images.shape[1:], loss_name(loss), items=len(images)):
            with autocast(task.precision):
                value = loss(network, images, labels)
            value.backward()
        optimiser.step()
        total += value.detach()
    return float(total)


def loss_name(loss: Loss) -> str:
    """A loss's name for the FLOP meter: that of the function, whatever its arguments are bound to."""
    return loss_name(loss.func) if isinstance(loss, functools.partial) else loss.__qualname__


def shuffled_batches(
    images: Tensor, labels: Tensor, batch: int, steps: int, rng: torch.Generator
) -> Iterator[tuple]:
    """``steps`` batches of images and labels, in passes over the shuffled set."""
    for chosen in batches(len(images), batch, steps, rng).to(images.device):
        yield images[chosen], labels[chosen]
