"""Local training by SGD: the one inner loop of all methods.

Images stay uint8 in memory and become floats one batch at a time. A process has one network per
shape, in the memory format channels_last, and bfloat16 autocast where the task says so. All batch
indices of a call are drawn before its first step.
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
"""``loss(network, images, labels)``: normalised images (B, C, H, W) and labels (B,) to a scalar."""


class Samples(Protocol):
    """What can be trained on: some images of a pool, such as a client's shard."""

    @property
    def images(self) -> Tensor:
        """The pool's images (n, C, H, W), uint8."""
        ...

    @property
    def labels(self) -> Tensor:
        """The pool's labels (n,)."""
        ...

    @property
    def indices(self) -> Tensor:
        """Which of the pool's images to train on."""
        ...

    @property
    def client(self) -> int:
        """The number of the client that has them."""
        ...


def n_steps(task: Task, n_samples: int) -> int:
    """SGD steps per round of a client with ``n_samples``; ``task.epochs`` above 0 decides them."""
    if task.epochs:
        return task.epochs * math.ceil(n_samples / task.batch_size)
    return task.steps


def samples_per_batch(n_samples: int, batch_size: int) -> int:
    """The samples of a batch: as many as there are, but at least 2; see :func:`batches`."""
    return max(2, min(batch_size, n_samples))


def batches(n_samples: int, batch_size: int, steps: int, rng: torch.Generator) -> Tensor:
    """Indices of batches, in as many passes over shuffled samples as they need.

    Args:
        n_samples: Number of samples, at least 1.
        batch_size: Samples per batch b. A batch has at most ``n_samples``, and at least 2: a
            BatchNorm layer cannot be trained on one value. A client with one sample sees it twice.
        steps: Number of batches.
        rng: A CPU generator.

    Returns:
        Indices (steps, b) in [0, n_samples). A batch may reach from one pass into the next.
    """
    b = samples_per_batch(n_samples, batch_size)
    n_passes = math.ceil(steps * b / n_samples)
    order = torch.cat([torch.randperm(n_samples, generator=rng) for _ in range(n_passes)])
    return order[: steps * b].view(steps, b)


def shuffled_batches(
    images: Tensor, labels: Tensor, batch: int, steps: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """``steps`` batches of images (b, C, H, W) and labels (b,), drawn as by ``batches``."""
    for indices in batches(len(images), batch, steps, rng).to(images.device):
        yield images[indices], labels[indices]


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
    """A client's local training: SGD on its samples, from a given model.

    The result is a function of the arguments. ``task.seed`` and ``round`` (with the client's
    number), or else ``names``, fix the order of batches and the augmentation; nothing else is
    random. On a CPU the number of threads, ``task.threads``, fixes the last bits.

    Args:
        state: The model to start from. It is not changed.
        samples: The client's samples.
        task: Learning rate, momentum, weight decay, batch size, local steps, precision, seed.
        *names: What the training is called where it is not a client's training of a round, for
            example ("centralised",). They take the place of ``round``.
        round: The round t of a client's local training.
        width: The width of the model in (0, 1].
        steps: Number of steps; None: those of ``task``.
        loss: What is minimised.

    Returns:
        The trained model.

    Raises:
        FloatingPointError: A loss or a weight is not finite.
    """
    if round is not None:
        names = ("round", round, samples.client)
    spec = task.spec_at(width)
    live = live_network(spec, device())
    live.load(state)
    network = live.training()

    rng = stream(task.seed, "batches", *names)
    n_samples = len(samples.indices)
    if steps is None:
        steps = n_steps(task, n_samples)
    order = batches(n_samples, task.batch_size, steps, rng)
    order = samples.indices[order.to(device(), non_blocking=True)]
    with torch.enable_grad():
        total = _sgd(network, samples, order, task, spec, loss, rng)

    # One check at the end, so that no step waits for a number from the accelerator. The losses do
    # not see the result of the last step, so the weights are summed as well.
    trained = live.save()
    total += sum(float(tensor.sum()) for tensor in trained.values())
    if not math.isfinite(total):
        raise FloatingPointError(
            f"{'/'.join(map(str, names))} diverged: lower the learning rate {task.lr}"
        )
    return trained


def _sgd(
    network: nn.Module,
    samples: Samples,
    order: Tensor,
    task: Task,
    spec: Spec,
    loss: Loss,
    rng: torch.Generator,
) -> float:
    """One step for each row of ``order`` (steps, b), indices into the pool; the sum of losses."""
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=task.lr,
        momentum=task.momentum,
        weight_decay=task.weight_decay,
        fused=True,
    )
    total = torch.zeros((), device=device())
    for batch in order:
        images = samples.images[batch]
        if task.source.augment:
            images = augment(images, rng)
        images = normalise(images).contiguous(memory_format=torch.channels_last)
        labels = samples.labels[batch]

        optimiser.zero_grad(set_to_none=True)
        with metered("train", spec, images.shape[1:], loss_name(loss), items=len(images)):
            with autocast(task.precision):
                value = loss(network, images, labels)
            value.backward()
        optimiser.step()
        total += value.detach()
    return float(total)


def loss_name(loss: Loss) -> str:
    """A loss's name for the FLOP meter: the function's, whatever arguments are bound to it."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    return loss.__qualname__  # pyright: ignore[reportFunctionMemberAccess]
