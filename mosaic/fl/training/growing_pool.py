"""The student of DENSE and Co-Boosting: in each epoch there is one more batch of images."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import batches


def first_student(task: Task, kind: str) -> State:
    """What the student starts from: the clients' last "average", or the "random" initial model."""
    if kind == "average":
        return federated_model(task, task.rounds)
    return initial_model(task.spec, task.seed)


def steps_of_epoch(total: int, epoch: int, epochs: int) -> int:
    """The steps of an epoch, of ``total`` over all of them, in proportion to its images.

    In the papers an epoch is one pass over the images so far, e batches in epoch e: 20,100 steps in
    200 epochs.

    Args:
        total: steps in all epochs.
        epoch: e, from 1.
        epochs: how many there are.
    """
    passes = epochs * (epochs + 1)
    so_far = round(total * epoch * (epoch + 1) / passes)
    before = round(total * epoch * (epoch - 1) / passes)
    return so_far - before


def batches_of_epoch(
    pool: list[Tensor], total: int, epoch: int, epochs: int, rng: torch.Generator
) -> list[Tensor]:
    """The student's images of an epoch, in batches (B, C, H, W) that mix the epochs so far.

    Args:
        pool: one batch of images (B, C, H, W) per epoch so far.
        total: the student's steps in all epochs.
        epoch: from 1.
        epochs: how many there are.
        rng: of the order.
    """
    steps = steps_of_epoch(total, epoch, epochs)
    if steps == 0:
        return []
    images = torch.cat(pool)
    return [images[i] for i in batches(len(images), len(pool[0]), steps, rng)]


class KeptMomentum:
    """Builds SGD for one call of ``distil`` after the other; each goes on with the last momentum.

    Args:
        momentum: of SGD.
        weight_decay: of SGD.
    """

    def __init__(self, momentum: float, weight_decay: float = 0.0):
        self.momentum = momentum
        self.weight_decay = weight_decay
        self._last: torch.optim.SGD | None = None

    def __call__(self, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.SGD:
        optimiser = torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fused=True,
        )
        if self._last is not None:
            for new, old in zip(_weights(optimiser), _weights(self._last), strict=True):
                optimiser.state[new] = self._last.state[old]
        self._last = optimiser
        return optimiser


def _weights(optimiser: torch.optim.SGD) -> list[nn.Parameter]:
    return optimiser.param_groups[0]["params"]
