"""What a model is: its shape (Spec), its values (State) and its channel groups (Layout)."""

from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]
"""The values of a model: parameters and BatchNorm running statistics, by name.

A state is never changed in place.
"""

Layout = dict[str, tuple[str, ...]]
"""For each tensor of a state, the channel group of each of its first one or two dimensions.

The groups are explained in ``mosaic.fl.models.registry``.
"""


@dataclass(frozen=True)
class Spec:
    """The shape of a network.

    Args:
        model: Its name in ``MODELS``.
        channels: Channels of the images: 1 (grey) or 3 (colour).
        n_classes: Number of classes K, which is the number of logits.
        base_width: Channels of the first layer at width 1.
        width: Share of the channels of every layer that this network has, in (0, 1].
        size: Height and width of the images in pixels. Of the built-in models only ``cnn2``
            depends on it.
        norm: Its normalisation, one of ``mosaic.fl.models.norms.NORMS``.
    """

    model: str
    channels: int
    n_classes: int
    base_width: int
    width: float = 1.0
    size: int = 28
    norm: str = "batch"
