"""Models as functions: predictions and features without gradients, and frozen networks."""

import copy

import torch
from torch import Tensor, nn

from mosaic.fl.contract import Predict
from mosaic.fl.costs import metered
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork, live_network
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.task import Task


def frozen_network(state: State, spec: Spec, batch_norm: str = "average") -> nn.Module:
    """A network of its own in eval mode with this state, whose weights take no gradient (its inputs may).

    A client's own model is judged by the running statistics of its own training, whatever the policy at test.
    """
    own = LiveNetwork(copy.deepcopy(live_network(spec, device()).network))
    own.load(state)
    return own.evaluating(batch_norm).requires_grad_(False)


def predictor(state: State, task: Task, width: float = 1.0) -> Predict:
    """The model as a function: normalised images (B, C, H, W) to float32 logits (B, K), without gradients."""
    spec = task.spec_at(width)

    def predict(images: Tensor) -> Tensor:
        return _forward(state, spec, task, images, features=False)

    return predict


def features(
    state: State, task: Task, images: Tensor, width: float = 1.0, batch_size: int = 512
) -> Tensor:
    """Penultimate features (n, F) in float32 of uint8 images (n, C, H, W)."""
    spec = task.spec_at(width)
    return torch.cat(
        [_forward(state, spec, task, normalise(x), features=True) for x in images.split(batch_size)]
    )


AT_ONCE = 512  # images of a pass; 2,560 took half as long again on a processor, for the memory they page in


@torch.no_grad()
def _forward(state: State, spec: Spec, task: Task, images: Tensor, features: bool) -> Tensor:
    home = live_network(spec, device())
    home.load(state)
    network = home.evaluating(task.batch_norm)
    # a batch's own statistics need all of it
    parts = images.split(AT_ONCE) if task.batch_norm == "average" else [images]
    return torch.cat([_pass(network, spec, task, part, features) for part in parts])


def _pass(network: nn.Module, spec: Spec, task: Task, images: Tensor, features: bool) -> Tensor:
    images = images.to(device()).contiguous(memory_format=torch.channels_last)
    with (
        metered("predict", spec, images.shape[1:], features, items=len(images)),
        autocast(task.precision),
    ):
        return (network.features(images) if features else network(images)).float()
