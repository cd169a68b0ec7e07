"""What a model is: a network's shape (Spec), its values (State) and which dimension counts which channels (Layout)."""

from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]
"""A model by value: parameters and BatchNorm running statistics, by name. Never changed in place."""


@dataclass(frozen=True)
class Spec:
    """A network's shape: ``base_width`` channels in the first layer at width 1, times ``width`` in (0, 1]."""

    model: str
    channels: int
    n_classes: int
    base_width: int
    width: float = 1.0
    size: int = 28  # of the images; only ``cnn2`` depends on it


Layout = dict[str, tuple[str, ...]]
