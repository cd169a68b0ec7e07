"""Distillation: a student learns from batches of images and the targets that teachers give them."""

import copy
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork, live_network
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task

BATCHES_PER_DRAW = 8
"""Batches that are drawn and labelled at a time, so that models which draw or label are loaded once
for all of them."""

MOST_EMPTY_DRAWS = 10
"""Draws in a row of which a source may leave all images out."""


class Judged:
    """Keeps the best of the models that a student is on its way.

    Args:
        score: A model's score; lower is better.
        after: The numbers of steps after which a model is judged. The start is judged too.

    Attributes:
        best: The best model so far.
    """

    def __init__(self, score: Callable[[State], float], after: Collection[int]):
        self.score = score
        self.after = after
        self.best: State = {}
        self._least = math.inf

    def look(self, state: State) -> None:
        """Judge one model."""
        value = self.score(state)
        if not self.best or value < self._least:
            self.best = state
            self._least = value


def distil(
    student: State,
    labelled: Iterable[tuple[Tensor, Any]],
    task: Task,
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    loss: Callable[[Tensor, Any], Tensor],
    frozen_norms: bool,
    clip: float = math.inf,
    judged: Judged | None = None,
) -> tuple[State, list[float]]:
    """Train a model of full width on batches of images and targets, one step per batch.

    Nothing is random: what ``labelled`` yields fixes the result.

    Args:
        student: The model to start from, usually the server's. It is not changed.
        labelled: Batches: normalised images (B, C, H, W) and their targets, in the form that
            ``loss`` takes. A generator may compute the targets of a batch when it is reached.
        task: The model's shape, the BatchNorm policy and the precision.
        optimiser: Builds the optimiser from the student's parameters.
        loss: ``loss(logits, targets)``, with the student's logits (B, K) in float32, to a scalar.
        frozen_norms: Whether BatchNorm works as at test and keeps its running statistics.
            Otherwise it uses each batch's statistics and updates the running ones.
        clip: The largest norm that the gradient may have.
        judged: If given, the best of the models that it judges is returned, not the last one.

    Returns:
        The trained model, and the loss of each step.

    Raises:
        FloatingPointError: A loss is not finite.
    """
    # A copy, because teachers may load the process's network of that shape between two steps.
    live = LiveNetwork(copy.deepcopy(live_network(task.spec, device()).network))
    live.load(student)
    network = live.evaluating(task.batch_norm) if frozen_norms else live.training()
    built_optimiser = optimiser(network.parameters())

    if judged is not None:
        judged.look(student)
    values = []
    for images, targets in labelled:
        built_optimiser.zero_grad(set_to_none=True)
        with metered("distil", task.spec, images.shape[1:], frozen_norms, items=len(images)):
            values.append(_backward(network, images, targets, task, loss))
        if clip < math.inf:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        built_optimiser.step()
        if judged is not None and len(values) in judged.after:
            judged.look(live.save())

    losses = torch.stack(values).tolist()
    # One check at the end, so that no step waits for a number from the accelerator.
    if not math.isfinite(sum(losses)):
        raise FloatingPointError("the distillation loss is not finite: lower its learning rate")
    return live.save() if judged is None else judged.best, losses


@torch.enable_grad()
def _backward(
    network: nn.Module,
    images: Tensor,
    targets: Any,
    task: Task,
    loss: Callable[[Tensor, Any], Tensor],
) -> Tensor:
    """The loss of a batch, whose gradients the network's parameters get."""
    with autocast(task.precision):
        logits = network(images)
    value = loss(logits.float(), targets)
    value.backward()
    return value.detach()


def drawn_batches(
    draw: Callable[[int], tuple[Tensor, Tensor]], steps: int, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's batches from a source of labelled images.

    Args:
        draw: A number of images, to images (n, C, H, W) and their targets (n, ...). It may leave
            images out; then it is asked again.
        steps: Number of batches.
        batch: Images per batch.

    Raises:
        RuntimeError: The source leaves all images out.
    """
    left: tuple[Tensor, Tensor] | None = None  # fewer than a batch
    while steps:
        images, targets = _drawn(draw, batch * min(BATCHES_PER_DRAW, steps))
        if left is not None:
            images, targets = torch.cat([left[0], images]), torch.cat([left[1], targets])

        whole = min(len(images) // batch, steps)
        for first in range(0, whole * batch, batch):
            yield images[first : first + batch], targets[first : first + batch]
        steps -= whole
        rest = slice(whole * batch, None)
        left = (images[rest], targets[rest]) if len(images) > whole * batch else None


def _drawn(draw: Callable[[int], tuple[Tensor, Tensor]], n: int) -> tuple[Tensor, Tensor]:
    """At least one image and its target, of ``n`` that are asked for."""
    for _ in range(MOST_EMPTY_DRAWS):
        images, targets = draw(n)
        if len(images):
            return images, targets
    raise RuntimeError(
        f"{MOST_EMPTY_DRAWS} draws of {n} images had no image with a label that is agreed on; "
        "train the generators for longer, or let someone else label the images."
    )


def loss_curve_ends(losses: Sequence[float]) -> tuple[float, float]:
    """The mean loss of the first and of the last tenth of the steps, of at least one step each.

    The record columns ``distil_loss_start`` and ``distil_loss_end``.

    Args:
        losses: The loss of each step, at least one.
    """
    tenth = max(1, len(losses) // 10)
    start = sum(losses[:tenth]) / tenth
    end = sum(losses[-tenth:]) / tenth
    return start, end
