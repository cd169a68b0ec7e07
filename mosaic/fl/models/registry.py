"""MODELS: every network by its name, and how many channels each of its layers has at a given width.

Channel groups
--------------
A client may train a narrow version of the server's model: the first (or other) channels of every
layer. Where a layer loses output channels, every layer that reads them loses input channels. A
*channel group* is a set of dimensions that must be cut together. The ``cnn`` at base width w::

    image --conv--> c1 --conv--> c2 --conv--> c3 --conv--> c4 --linear--> classes
    1 or 3          w            2w           4w           4w             K

    blocks.0.conv.weight   (w, 1, 3, 3)     group: ("c1", "image")
    blocks.1.conv.weight   (2w, w, 3, 3)    group: ("c2", "c1")
    blocks.1.norm.weight   (2w,)            group: ("c2",)
    linear.weight          (K, 4w)          group: ("classes", "c4")

``c1``, ``c2``, ... are cut with the width; ``multiples`` says how wide each is, in base widths:
``(1, 2, 4, 4)`` for ``cnn``. The other groups are never cut: ``image`` (channels of the images),
``classes`` (logits), and ``pixels`` (anything else that has one size at every width).

To add a model without editing this file, see ``mosaic.fl.models.registration``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.models.cnn import CNN, CNN2, cnn2_group, cnn_group
from mosaic.fl.models.resnet import ResNet18, resnet_group
from mosaic.fl.models.spec import Spec

UNCUT_GROUPS = ("image", "pixels", "classes")
"""The groups that have the same size at every width."""


def whole_tensors(name: str) -> tuple[str, ...]:
    """The channel groups of a model that has no narrow versions: no dimension is ever cut."""
    return ("pixels", "pixels")


@dataclass(frozen=True)
class Model:
    """A family of networks, one for each base width and width.

    Args:
        network: ``network(spec, channels)`` builds the network. ``channels`` are the sizes of the
            groups c1, c2, ... at the spec's width. The network has a method ``features``, images
            (B, C, H, W) to (B, F), and a final layer ``linear``; its forward pass is
            ``linear(features(images))``, (B, K).
        group: ``group(name)`` gives the channel groups of the dimensions of the tensor ``name`` of
            the network's state: of the first for a vector, of the first two for anything else (the
            second may be given for vectors too). Models without narrow versions need none.
        multiples: Channels of the groups c1, c2, ..., in base widths, at least one group. The last
            group is the features where there are narrow versions.
        narrows: Whether there is a narrow version of each width in (0, 1).
    """

    network: Callable[[Spec, Sequence[int]], nn.Module]
    group: Callable[[str], tuple[str, ...]] = whole_tensors
    multiples: tuple[int, ...] = (1,)
    narrows: bool = True


MODELS: dict[str, Model] = {
    "cnn": Model(CNN, cnn_group, (1, 2, 4, 4)),
    "cnn2": Model(CNN2, cnn2_group, (1, 2), narrows=False),
    "resnet18": Model(ResNet18, resnet_group, (1, 2, 4, 8)),
}


def model_named(name: str) -> Model:
    """The model of that name.

    Raises:
        InputError: There is none; the text names the nearest one and all of them.
    """
    if name not in MODELS:
        raise did_you_mean("model", name, MODELS)
    return MODELS[name]


def channel_groups(model: str) -> list[str]:
    """The groups of channels that widths cut: c1, c2, and on."""
    return [f"c{i + 1}" for i in range(len(model_named(model).multiples))]


def full_channels(spec: Spec, group: str) -> int:
    """Channels of ``group`` at width 1."""
    return model_named(spec.model).multiples[int(group[1:]) - 1] * spec.base_width


def scaled_channels(spec: Spec, group: str) -> int:
    """Channels of ``group`` at the spec's width r: ceil(r c) of c, as in HeteroFL and FedRolex.

    Raises:
        InputError: The width is below 1 and the model has no narrow versions.
    """
    require_width(spec)
    return share_of(full_channels(spec, group), spec.width)


def require_width(spec: Spec) -> None:
    """Raise InputError if the width is below 1 and the model has no narrow versions."""
    if spec.width == 1 or model_named(spec.model).narrows:
        return
    able = ", ".join(name for name, model in MODELS.items() if model.narrows)
    raise InputError(
        f"model {spec.model!r} has no version of width {spec.width:g}; "
        f"full width only, or one of: {able}."
    )


def share_of(channels: int, width: float) -> int:
    """ceil(width x channels), at least 1. Rounding errors do not count: 0.28 x 25 is 7, not 8."""
    return max(1, math.ceil(width * channels - 1e-9))


def new_network(spec: Spec) -> nn.Module:
    """The spec's network with PyTorch's initial weights, from PyTorch's global random state.

    Raises:
        InputError: There is no such model, or it has no version of the spec's width or of its
            normalisation.
    """
    require_width(spec)
    channels = [scaled_channels(spec, group) for group in channel_groups(spec.model)]
    network = model_named(spec.model).network(spec, channels)

    # A model from outside may not read spec.norm.
    has_batch_norm = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    if spec.norm != "batch" and has_batch_norm:
        raise InputError(
            f"model {spec.model!r} has BatchNorm layers whatever task.norm is, and it is "
            f"{spec.norm!r}. Leave it at 'batch', or let the model read spec.norm."
        )
    return network
