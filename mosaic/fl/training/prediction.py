"""Models as functions: predictions and features without gradients, and frozen networks."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mosaic.fl.contract import Predict
from mosaic.fl.costs import metered
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork, live_network
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.task import Task

IMAGES_PER_PASS = 512
"""2,560 images in one pass took half as long again on a CPU, for the memory they page in."""


def frozen_network(state: State, spec: Spec, batch_norm: str) -> nn.Module:
    """A new network in evaluation mode whose weights take no gradient; its inputs may.

    Args:
        state: The model's values.
        spec: The model's shape.
        batch_norm: "average": BatchNorm uses running statistics. "batch": each batch's.
    """
    live = LiveNetwork(copy.deepcopy(live_network(spec, device()).network))
    live.load(state)
    return live.evaluating(batch_norm).requires_grad_(False)


def predictor(state: State, task: Task, width: float = 1.0) -> Predict:
    """The model as a function: normalised images (B, C, H, W) to float32 logits (B, K).

    Args:
        state: The model's values.
        task: The model's shape, the BatchNorm policy and the precision.
        width: The model's width in (0, 1].
    """
    spec = task.spec_at(width)

    def predict(images: Tensor) -> Tensor:
        return _outputs(state, spec, task, images, of_features=False)

    return predict


def features(state: State, task: Task, images: Tensor, width: float = 1.0) -> Tensor:
    """A model's penultimate features of images that are not normalised.

    Args:
        state: The model's values.
        task: The model's shape, the BatchNorm policy and the precision. With the policy "batch"
            the statistics are those of :data:`IMAGES_PER_PASS` images, or of the rest.
        images: (n, C, H, W), uint8.
        width: The model's width in (0, 1].

    Returns:
        Features (n, F), float32.
    """
    spec = task.spec_at(width)
    outputs = [
        _outputs(state, spec, task, normalise(part), of_features=True)
        for part in images.split(IMAGES_PER_PASS)
    ]
    return torch.cat(outputs)


@torch.no_grad()
def _outputs(state: State, spec: Spec, task: Task, images: Tensor, of_features: bool) -> Tensor:
    """Features (B, F) or logits (B, K) of normalised images (B, C, H, W), in float32."""
    live = live_network(spec, device())
    live.load(state)
    network: Any = live.evaluating(task.batch_norm)
    function = network.features if of_features else network

    # The statistics of a batch need all of it at once.
    per_pass = IMAGES_PER_PASS if task.batch_norm == "average" else len(images)
    outputs = []
    for part in images.split(per_pass):
        part = part.to(device()).contiguous(memory_format=torch.channels_last)
        with (
            metered("predict", spec, part.shape[1:], of_features, items=len(part)),
            autocast(task.precision),
        ):
            outputs.append(function(part).float())
    return torch.cat(outputs)
