"""Averages of models and of sub-models.

Models are added to a sum one after the other, so memory does not grow with their number. Sums are
in float64: the average of equal models is that model, to the last bit.
"""

from collections.abc import Iterable, Sequence

import torch

from mosaic.fl.models.spec import Layout, State
from mosaic.fl.submodel import Window, coordinates


def average(states: Iterable[State], weights: Sequence[float]) -> State:
    """sum_k w_k state_k / sum_k w_k, over parameters and BatchNorm statistics.

    McMahan et al., AISTATS 2017, Alg. 1.

    Args:
        states: The clients' models, all of the same shape; they are left unchanged.
        weights: A weight for each of them, for example the client's number of samples.

    Raises:
        ValueError: If the weights sum to zero, or their number is not that of the models.
    """
    total: dict[str, torch.Tensor] = {}
    total_weight = 0.0
    for state, weight in zip(states, weights, strict=True):
        total_weight += float(weight)
        for name, tensor in state.items():
            if name not in total:
                total[name] = torch.zeros_like(tensor, dtype=torch.float64)
            total[name].add_(tensor, alpha=float(weight))

    if not total_weight > 0:
        raise ValueError(
            f"the weights of an average sum to {total_weight}; at least one must be positive"
        )
    return {name: (tensor / total_weight).float() for name, tensor in total.items()}


def average_parts(
    server: State, parts: Iterable[tuple[State, Window]], weights: Sequence[float], layout: Layout
) -> State:
    """The weighted mean of sub-models, taken for each coordinate over the sub-models that have it.

    FedRolex, Alam et al., NeurIPS 2022, Eq. 3, with weights. If every window is the whole model,
    the result is that of :func:`average`.

    Args:
        server: The whole model. A coordinate that no sub-model has keeps its value.
        parts: Each client's sub-model and its window.
        weights: A weight for each of them.
        layout: The whole model's layout.
    """
    return averages_of_parts(server, parts, [weights], layout)[0]


def averages_of_parts(
    server: State,
    parts: Iterable[tuple[State, Window]],
    weights: Sequence[Sequence[float]],
    layout: Layout,
) -> list[State]:
    """Several averages of the same sub-models, in one pass over them.

    Args:
        server: As in :func:`average_parts`.
        parts: As there, N sub-models.
        weights: For each of E averages the weights of the sub-models (E, N).
        layout: As in :func:`average_parts`.

    Returns:
        The E averages, each that of :func:`average_parts`.
    """
    sums = [_SumOfParts(server, layout) for _ in weights]
    for (part, channels), weights_of_part in zip(parts, zip(*weights, strict=True), strict=True):
        for total, weight in zip(sums, weights_of_part, strict=True):
            if weight != 0:
                total.add(part, channels, float(weight))
    return [total.mean() for total in sums]


class _SumOfParts:
    """The weighted sum of sub-models, and for each coordinate the sum of its weights."""

    def __init__(self, server: State, layout: Layout):
        self.server = server
        self.layout = layout
        self.total: dict[str, torch.Tensor] = {}
        self.weight: dict[str, torch.Tensor] = {}
        for name, tensor in server.items():
            total = torch.zeros_like(tensor, dtype=torch.float64)
            self.total[name] = total

            # The values of one pair of channels (a kernel) are in the same windows: one weight
            # for all of them, with dimensions of size 1 in their place
            n_channel_dims = len(layout[name])
            ones = [1] * (total.dim() - n_channel_dims)
            self.weight[name] = total.new_zeros(*total.shape[:n_channel_dims], *ones)

    def add(self, part: State, channels: Window, weight: float) -> None:
        for name, tensor in part.items():
            where = coordinates(self.total[name], self.layout[name], channels)
            self.total[name][where] += tensor.double() * weight
            self.weight[name][where] += weight

    def mean(self) -> State:
        """The mean at each coordinate; the server's value where no part has it."""
        state = {}
        for name, value in self.server.items():
            weight = self.weight[name]
            mean = self.total[name] / weight.clamp_min(1e-300)  # no division by zero
            state[name] = torch.where(weight > 0, mean, value).float()
        return state
