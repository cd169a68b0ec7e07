"""Averages of models. Sums are kept as models come, so memory does not grow with their number.

Sums are in float64: averaging equal models is the identity to the last bit.
"""

from collections.abc import Iterable, Sequence

import torch

from mosaic.fl.models.spec import Layout, State
from mosaic.fl.submodel import Window, coordinates


def average(states: Iterable[State], weights: Sequence[float]) -> State:
    """sum_k w_k state_k / sum_k w_k, over parameters and BatchNorm statistics alike (McMahan et al., 2017, Alg. 1)."""
    total: dict[str, torch.Tensor] = {}
    mass = 0.0
    for state, weight in zip(states, weights, strict=True):
        mass += float(weight)
        for name, tensor in state.items():
            if name not in total:
                total[name] = torch.zeros_like(tensor, dtype=torch.float64)
            total[name].add_(tensor, alpha=float(weight))
    if not mass > 0:
        raise ValueError(f"the weights of an average sum to {mass}; at least one must be positive")
    return {name: (tensor / mass).float() for name, tensor in total.items()}


def average_parts(
    server: State, parts: Iterable[tuple[State, Window]], weights: Sequence[float], layout: Layout
) -> State:
    """The weighted mean of sub-models, coordinate by coordinate; one that nobody covers keeps the server's value.

    FedRolex, Alam et al., NeurIPS 2022, Eq. 3, with weights. Where every window is the whole model this is ``average``.
    """
    return averages_of_parts(server, parts, [weights], layout)[0]


def averages_of_parts(
    server: State,
    parts: Iterable[tuple[State, Window]],
    weights: Sequence[Sequence[float]],
    layout: Layout,
) -> list[State]:
    """Several such means of the same sub-models, one for each of ``weights`` (E, N), in one pass over them."""
    totals = [
        {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in server.items()}
        for _ in weights
    ]
    masses = [{name: _channels(total[name], layout[name]) for name in server} for total in totals]
    for (part, held), of_part in zip(parts, zip(*weights, strict=True), strict=True):
        for total, mass, weight in zip(totals, masses, of_part, strict=True):
            if weight == 0:
                continue
            for name, tensor in part.items():
                where = coordinates(total[name], layout[name], held)
                total[name][where] += tensor.double() * float(weight)
                mass[name][where] += float(weight)
    return [
        {
            name: torch.where(
                mass[name] > 0, total[name] / mass[name].clamp_min(1e-300), server[name]
            ).float()
            for name in server
        }
        for total, mass in zip(totals, masses, strict=True)
    ]


def _channels(tensor: torch.Tensor, groups: tuple[str, ...]) -> torch.Tensor:
    """Zeros to weigh a tensor's values by: those of one pair of channels are held together, and weigh the same."""
    return tensor.new_zeros(*tensor.shape[: len(groups)], *(1 for _ in tensor.shape[len(groups) :]))
