"""Sub-models: cut a narrow model out of the server's, and put it back.

A *window* is the set of channels, of each channel group, that a client of width r has: ceil(r c) of
the group's c channels, cyclic from ``shift``, in ascending order. With shift 0 it is the first
channels (HeteroFL, Diao et al., ICLR 2021). With a shift that grows in each round it is a rolling
window (FedRolex, Alam et al., NeurIPS 2022). At width 1 it is the whole model.
"""

import math

import torch
from torch import Tensor

from mosaic.fl.models.registry import channel_groups, full_channels, scaled_channels
from mosaic.fl.models.spec import Layout, Spec, State
from mosaic.fl.task import Task

Window = dict[str, Tensor | None]
"""The channels (ceil(r c),) of each group; None for all of them."""


def window(spec: Spec, shift: int = 0, turn: int | None = None) -> Window:
    """The window of a client of width ``spec.width``.

    The channels of images, the pixels and the classes are never cut.

    Args:
        spec: The client's network.
        shift: The first channel, if ``turn`` is None.
        turn: How many shifts go once around. The first channel is then ``shift`` times
            ceil(c / turn), c being the group's channels. In ``turn`` rounds that follow one another
            each channel is in some window, unless it is narrower than that step.
    """
    channels: Window = {"image": None, "pixels": None, "classes": None}
    for group in channel_groups(spec.model):
        n_full = full_channels(spec, group)
        n_kept = scaled_channels(spec, group)
        if n_kept == n_full:
            channels[group] = None
        else:
            step = 1 if turn is None else math.ceil(n_full / turn)
            channels[group] = ((torch.arange(n_kept) + shift * step) % n_full).sort().values
    return channels


def rolling_window(task: Task, width: float, t: int) -> Window:
    """The window of a client of a width in round ``t``: it moves in each round.

    With ``task.roll`` "turn" it moves so far that it goes once around in the task's rounds, so that
    each channel is trained; with "channel" by one channel, as in FedRolex's paper, which has
    thousands of rounds.
    """
    turn = task.rounds if task.roll == "turn" else None
    return window(task.spec_at(width), shift=t, turn=turn)


def cut(state: State, layout: Layout, channels: Window) -> State:
    """The sub-model in a window.

    Args:
        state: The whole model; at full width it is returned as it is.
        layout: Its layout.
        channels: The window.
    """
    if all(indices is None for indices in channels.values()):
        return state

    part = {}
    for name, tensor in state.items():
        for dim, group in enumerate(layout[name]):
            indices = channels[group]
            if indices is not None:
                tensor = tensor.index_select(dim, indices.to(tensor.device))
        part[name] = tensor
    return part


def own_rows(
    part: State, layout: Layout, channels: Window, classes: Tensor
) -> tuple[State, Window]:
    """A sub-model and its window without the classifier's rows of all other classes.

    Args:
        part: The sub-model, with the rows of all classes.
        layout: The whole model's layout.
        channels: The sub-model's window.
        classes: The classes (k,) whose rows are kept, ascending.
    """
    rows: Window = dict.fromkeys(channels)
    rows["classes"] = classes
    return cut(part, layout, rows), channels | {"classes": classes}


def coordinates(tensor: Tensor, groups: tuple[str, ...], channels: Window) -> tuple:
    """The index of a sub-model's block in a tensor of the whole model.

    Args:
        tensor: The tensor of the whole model.
        groups: The channel groups of its first one or two dimensions.
        channels: The window.

    Returns:
        An index for ``tensor[...]``; (), which is all of it, if nothing is cut.
    """
    rows = channels[groups[0]]
    columns = channels[groups[1]] if len(groups) > 1 else None

    if rows is None and columns is None:
        return ()
    if rows is None:
        assert columns is not None
        return slice(None), columns.to(tensor.device)
    if columns is None:
        return (rows.to(tensor.device),)
    return rows.to(tensor.device)[:, None], columns.to(tensor.device)


def put(state: State, part: State, layout: Layout, channels: Window) -> State:
    """A copy of ``state`` with the sub-model ``part`` in its window; the inverse of :func:`cut`."""
    whole = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in whole.items():
        tensor[coordinates(tensor, layout[name], channels)] = part[name]
    return whole
