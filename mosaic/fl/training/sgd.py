"""The one tuned inner loop: train, predict.

Images stay uint8 in memory and become floats a batch at a time; one resident network a shape; channels_last; bfloat16
autocast where the task says so. All batch indices of a call are drawn before its first step.
"""

import copy
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.data.readers import DATASETS, augment, normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.cnn import Resident, Spec, resident
from mosaic.fl.rng import generator
from mosaic.fl.task import Predict, State, Task
from mosaic.fl.training.losses import cross_entropy

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Samples(Protocol):
    """What can be trained on: uint8 images (n, C, H, W) and labels (n,) of a pool, by ``indices`` into it."""

    images: Tensor
    labels: Tensor
    indices: Tensor


def spec_of(task: Task, width: float = 1.0) -> Spec:
    """The network of a client of that width; of the server at width 1."""
    source = DATASETS[task.dataset]
    return Spec(task.model, source.channels, source.n_classes, task.base_width, width, source.size)


def n_steps(task: Task, n_samples: int) -> int:
    """Local steps a round of a client with ``n_samples``."""
    return task.epochs * math.ceil(n_samples / task.batch_size) if task.epochs else task.steps


def batches(n_samples: int, batch_size: int, steps: int, rng: torch.Generator) -> Tensor:
    """Indices (steps, b) that pass over shuffled data again and again; b is at most ``n_samples``, at least 2.

    (A BatchNorm layer cannot be trained on one value; a client with one sample sees it twice.)
    """
    b = max(2, min(batch_size, n_samples))
    passes = math.ceil(steps * b / n_samples)
    order = torch.cat([torch.randperm(n_samples, generator=rng) for _ in range(passes)])
    return order[: steps * b].view(steps, b)


def train(
    state: State,
    samples: Samples,
    task: Task,
    *names: int | str,
    width: float = 1.0,
    steps: int | None = None,
    loss: Loss = cross_entropy,
) -> State:
    """SGD on a client's samples from ``state``; a new state comes back, the old one is left as it is.

    ``names`` tell this piece of training from all others (round, client): with the task's seed they fix its batches.
    ``loss(model, images, labels)`` is what is minimised. Raises FloatingPointError where a loss is not finite.
    """
    spec = spec_of(task, width)
    home = resident(spec, device())
    home.load(state)
    network = home.training()
    steps = n_steps(task, len(samples.indices)) if steps is None else steps
    rng = generator(task.seed, "batches", *names)
    order = batches(len(samples.indices), task.batch_size, steps, rng)
    order = samples.indices[order.to(device(), non_blocking=True)]
    with torch.enable_grad():
        total = _sgd(network, samples, order, spec, task, loss, rng)
    trained = home.save()
    total += sum(float(tensor.sum()) for tensor in trained.values())  # the losses do not see the last step's result
    if not math.isfinite(total):
        raise FloatingPointError(f"{'/'.join(map(str, names))} diverged: lower the learning rate {task.lr}")
    return trained


def _sgd(network: nn.Module, samples: Samples, order: Tensor, spec: Spec, task: Task, loss: Loss, rng) -> float:
    optimiser = torch.optim.SGD(
        network.parameters(), lr=task.lr, momentum=task.momentum, weight_decay=task.weight_decay, fused=True
    )
    total = torch.zeros((), device=device())
    augmented = DATASETS[task.dataset].augment
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


def distil(
    student: State,
    labelled: Iterable[tuple[Tensor, Any]],
    task: Task,
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    loss: Callable[[Tensor, Any], Tensor],
    frozen_norms: bool,
    clip: float = math.inf,
) -> tuple[State, list[float]]:
    """Teach ``student`` (the server model) from batches of images (B, C, H, W) and what teachers say of them.

    ``loss(student logits, what teachers say)`` is minimised; with ``frozen_norms`` BatchNorm works as at test
    and keeps its running statistics. The gradient's norm is at most ``clip``. Returns the new state and all losses.
    """
    spec = spec_of(task)
    own = Resident(copy.deepcopy(resident(spec, device()).network))  # teachers use the resident one meanwhile
    own.load(student)
    network = own.evaluating(task.batch_norm) if frozen_norms else own.training()
    optimise = optimiser(network.parameters())
    values = []
    for images, target in labelled:
        optimise.zero_grad(set_to_none=True)
        with torch.enable_grad(), metered("distil", spec, images.shape[1:], frozen_norms, items=len(images)):
            with autocast(task.precision):
                logits = network(images)
            value = loss(logits.float(), target)
            value.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimise.step()
        values.append(value.detach())
    values = torch.stack(values).tolist()
    if not math.isfinite(sum(values)):
        raise FloatingPointError("the distillation loss is not finite: lower its learning rate")
    return own.save(), values


def loss_name(loss: Loss) -> str:
    """A loss's name for the FLOP meter: that of the function, whatever its arguments are bound to."""
    return loss_name(loss.func) if isinstance(loss, functools.partial) else loss.__qualname__


def frozen(state: State, spec: Spec, batch_norm: str = "average") -> nn.Module:
    """A network of its own in eval mode with this state, whose weights take no gradient (its inputs may).

    A client's own model is judged by the running statistics of its own training, whatever the policy at test.
    """
    own = Resident(copy.deepcopy(resident(spec, device()).network))
    own.load(state)
    return own.evaluating(batch_norm).requires_grad_(False)


def predictor(state: State, task: Task, width: float = 1.0) -> Predict:
    """The model as a function: normalised images (B, C, H, W) to float32 logits (B, K), without gradients."""
    spec = spec_of(task, width)

    def predict(images: Tensor) -> Tensor:
        return _forward(state, spec, task, images, features=False)

    return predict


def features(state: State, task: Task, images: Tensor, width: float = 1.0, batch_size: int = 512) -> Tensor:
    """Penultimate features (n, F) in float32 of uint8 images (n, C, H, W)."""
    spec = spec_of(task, width)
    return torch.cat([_forward(state, spec, task, normalise(x), features=True) for x in images.split(batch_size)])


AT_ONCE = 512  # images of a pass; 2,560 took half as long again on a processor, for the memory they page in


@torch.no_grad()
def _forward(state: State, spec: Spec, task: Task, images: Tensor, features: bool) -> Tensor:
    home = resident(spec, device())
    home.load(state)
    network = home.evaluating(task.batch_norm)
    # a batch's own statistics need all of it
    parts = images.split(AT_ONCE) if task.batch_norm == "average" else [images]
    return torch.cat([_pass(network, spec, task, part, features) for part in parts])


def _pass(network: nn.Module, spec: Spec, task: Task, images: Tensor, features: bool) -> Tensor:
    images = images.to(device()).contiguous(memory_format=torch.channels_last)
    with metered("predict", spec, images.shape[1:], features, items=len(images)), autocast(task.precision):
        return (network.features(images) if features else network(images)).float()
