"""Distillation: a student learns from batches of images and what teachers answer to them."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork, live_network
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task


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
    spec = task.spec
    own = LiveNetwork(
        copy.deepcopy(live_network(spec, device()).network)
    )  # teachers use the resident one meanwhile
    own.load(student)
    network = own.evaluating(task.batch_norm) if frozen_norms else own.training()
    optimise = optimiser(network.parameters())
    values = []
    for images, target in labelled:
        optimise.zero_grad(set_to_none=True)
        with (
            torch.enable_grad(),
            metered("distil", spec, images.shape[1:], frozen_norms, items=len(images)),
        ):
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


def loss_curve_ends(losses: Sequence[float]) -> tuple[float, float]:
    """The mean over the first and over the last tenth of a distillation's steps (at least one)."""
    tenth = max(1, len(losses) // 10)
    return sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
