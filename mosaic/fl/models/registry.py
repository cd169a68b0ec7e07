"""MODELS: every client and server network by its name, each at any width."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from mosaic.fl.errors import InputError
from mosaic.fl.models.cnn import CNN, CNN2, cnn2_group, cnn_group
from mosaic.fl.models.resnet import ResNet18, resnet_group
from mosaic.fl.models.spec import Spec


@dataclass(frozen=True)
class Model:
    network: Callable[
        [Spec, Sequence[int]], nn.Module
    ]  # of the spec and the channels of c1, c2, ...
    group: Callable[[str], tuple[str, ...]]
    multiples: tuple[int, ...]  # channels of the groups c1, c2, ..., in base widths
    narrows: bool = True  # is there a sub-model of each width?


MODELS = {
    "cnn": Model(CNN, cnn_group, (1, 2, 4, 4)),
    "cnn2": Model(CNN2, cnn2_group, (1, 2), narrows=False),
    "resnet18": Model(ResNet18, resnet_group, (1, 2, 4, 8)),
}


def full_channels(spec: Spec, group: str) -> int:
    """Channels of ``group`` at width 1."""
    return MODELS[spec.model].multiples[int(group[1:]) - 1] * spec.base_width


def channel_groups(model: str) -> list[str]:
    """The groups of channels that widths cut: c1, c2, and on."""
    return [f"c{i + 1}" for i in range(len(MODELS[model].multiples))]


def scaled_channels(spec: Spec, group: str) -> int:
    """Channels of ``group`` at the spec's width r: ceil(r c), as in HeteroFL and FedRolex."""
    if spec.width < 1 and not MODELS[spec.model].narrows:
        able = ", ".join(name for name, model in MODELS.items() if model.narrows)
        raise InputError(
            f"model {spec.model!r} has no version of width {spec.width:g}; full width only, or one of: {able}."
        )
    return max(
        1, math.ceil(spec.width * full_channels(spec, group) - 1e-9)
    )  # 0.28 x 25 is 7, not floating point's 8


def new_network(spec: Spec) -> nn.Module:
    """The spec's network with PyTorch's initial weights."""
    channels = [scaled_channels(spec, group) for group in channel_groups(spec.model)]
    return MODELS[spec.model].network(spec, channels)
