"""Width scaling: cut a sub-model out of the server's, put it back.

A *window* says which channels of each group a client of width r holds: ceil(r c) of c, cyclic from ``shift``, in
ascending order. ``shift`` 0 is the static prefix (HeteroFL, Diao et al., ICLR 2021); a shift that grows by one a
round is the rolling window (FedRolex, Alam et al., NeurIPS 2022). At width 1 every window is the whole model.
"""

import torch
from torch import Tensor

from mosaic.fl.models.registry import channel_groups, full_channels, scaled_channels
from mosaic.fl.models.spec import Layout, Spec, State

Window = dict[str, Tensor | None]
"""Channel indices (ceil(r c),) by group; None: all of them."""


def window(spec: Spec, shift: int = 0) -> Window:
    """The channels that a client of ``spec.width`` holds. The image's channels and the classes are never cut."""
    held: Window = {"image": None, "pixels": None, "classes": None}
    for group in channel_groups(spec.model):
        c, k = full_channels(spec, group), scaled_channels(spec, group)
        held[group] = None if k == c else ((torch.arange(k) + shift) % c).sort().values
    return held


def cut(state: State, layout: Layout, held: Window) -> State:
    """The sub-model at the window's coordinates."""
    if all(indices is None for indices in held.values()):
        return state
    part = {}
    for name, tensor in state.items():
        for dim, group in enumerate(layout[name]):
            if held[group] is not None:
                tensor = tensor.index_select(dim, held[group].to(tensor.device))
        part[name] = tensor
    return part


def coordinates(tensor: Tensor, groups: tuple[str, ...], held: Window) -> tuple:
    """The index that selects a sub-model's block out of the full tensor; the whole of it where nothing is cut."""
    rows = held[groups[0]]
    columns = held[groups[1]] if len(groups) > 1 else None
    if rows is None and columns is None:
        return ()
    if rows is None:
        return (slice(None), columns.to(tensor.device))
    rows = rows.to(tensor.device)
    return (rows,) if columns is None else (rows[:, None], columns.to(tensor.device))


def put(state: State, part: State, layout: Layout, held: Window) -> State:
    """``state`` with the sub-model ``part`` in its place: ``cut`` then ``put`` is the identity."""
    whole = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in whole.items():
        tensor[coordinates(tensor, layout[name], held)] = part[name]
    return whole
