"""Equal budgets: how many steps a method takes, so that all methods compute equally much.

There are two budgets, for what the clients compute beyond FedAvg's local training, and for what the
server computes. Both are multiples of the FLOPs of FedAvg's own local training of the task. From
the FLOPs of a method's steps (``method_flops.py``) follows the share of its paper's images that the
budget pays for: the same share for all of its steps of one side, up to whole steps, and never more
than all of them (:func:`most_steps`).
"""

import math
from collections.abc import Callable
from dataclasses import Field, fields, replace
from typing import Any, get_type_hints

from benchmarks.planning.client_data import n_images
from benchmarks.planning.flop_parts import local_training
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS
from benchmarks.planning.network_flops import classifier
from benchmarks.planning.scales import Budget
from mosaic.fl.task import Task

SIDES = ("client", "server")

HALVINGS = 40
"""Of the interval in which a share is searched: far below the last step of any number."""


def steps_within(
    method: str, task: Task, settings: dict[str, Any], budget: Budget
) -> dict[str, float]:
    """The steps that a method's budgets pay for.

    Args:
        method: its name in METHODS; one without a forecast of its FLOPs gets no steps.
        task: the federated problem. If it counts epochs, its data are opened.
        settings: the method's other settings; steps among them are left as they are.
        budget: of both sides.

    Returns:
        A value for each step-counting field of the method's Config that is not among the settings.
    """
    steps: dict[str, float] = {}
    if method not in PARTS:
        return steps
    unit = federated_flops(task)
    for side in SIDES:
        steps |= _steps_of_side(method, task, settings, side, getattr(budget, side) * unit)
    return steps


def steps_by_factor(
    method: str, task: Task, settings: dict[str, Any], factors: Budget
) -> dict[str, float]:
    """The steps with which a method trains on a share of its paper's images.

    Where the task has fewer rounds than the paper, steps per round are as many more.

    Args:
        method: its name in METHODS.
        task: the federated problem.
        settings: the method's other settings; steps among them are left as they are.
        factors: the shares of both sides, in (0, 1]: the same for all methods.

    Returns:
        As :func:`steps_within`.
    """
    config = METHODS[method].Config(**settings)
    steps: dict[str, float] = {}
    for side in SIDES:
        for field in _solved_fields(method, task, config, settings, side):
            share = getattr(factors, side)
            steps[field.name] = _whole(config, field, share * most_steps(config, field, task))
    return steps


def spent(method: str, task: Task, config: Any) -> dict[str, float]:
    """What a method computes, by side, in multiples of FedAvg's local training of the task."""
    unit = federated_flops(task)
    return {side: _flops(method, task, config, side) / unit for side in SIDES}


def shares_of_papers(method: str, task: Task, config: Any) -> dict[str, float]:
    """The images that a method trains on as a share of its paper's, over all rounds.

    Args:
        method: its name in METHODS.
        task: the federated problem.
        config: the method's settings.

    Returns:
        A value for each side on which it counts steps. Where several fields do, it is that of the
        one with the most steps: for DENSE the student's, not that of its epochs.
    """
    shares = {}
    for side in SIDES:
        counted = _fields_in_use(method, task, config, side)
        if not counted:
            continue
        field = max(counted, key=lambda field: papers_steps(config, field))
        share = getattr(config, field.name) / papers_steps(config, field)
        rounds = field.metadata.get("rounds")
        shares[side] = share * task.rounds / rounds if rounds else share
    return shares


def counted_fields(config: Any, side: str) -> list[Field]:
    """The fields of a method's settings that count the steps of a side."""
    return [field for field in fields(config) if field.metadata.get("work") == side]


def papers_steps(config: Any, field: Field) -> float:
    """The steps that have the paper's images, at the settings' own number of images per step."""
    default = type(config)()
    steps = getattr(default, field.name)
    batch = field.metadata.get("batch")
    if not batch:
        return steps
    return steps * getattr(default, batch) / getattr(config, batch)


def most_steps(config: Any, field: Field, task: Task) -> float:
    """The most steps that a method is given: those of :func:`papers_steps`.

    Where they are per round, and the task has fewer rounds than the paper, they are those of all of
    the paper's rounds: a method of many rounds is not starved in a task of one. In more rounds than
    the paper's they are the paper's in each.
    """
    steps = papers_steps(config, field)
    rounds = field.metadata.get("rounds")
    return steps * max(1.0, rounds / task.rounds) if rounds else steps


def federated_flops(task: Task) -> float:
    """The FLOPs of FedAvg's local training of the whole network, at all clients in all rounds.

    Narrow clients' is not the unit, so that a budget pays for equally much at all widths. Where the
    task counts epochs, an epoch is one pass over all clients' images, and the data are opened. A
    last batch that is not full is not counted as a full one, so that the unit, and with it each
    method's steps, is the same for all seeds and splits.
    """
    task = replace(task, widths=())
    if not task.epochs:
        return local_training(task)
    images = task.participation * task.rounds * task.epochs * n_images(task)
    return images * classifier(task.spec, weights=True)


def _flops(method: str, task: Task, config: Any, side: str) -> float:
    return sum(part.flops for part in PARTS[method](task, config) if part.side == side)


def _fields_in_use(method: str, task: Task, config: Any, side: str) -> list[Field]:
    """The step-counting fields that make a difference: a GAN's do not where CVAEs are trained."""
    counted = counted_fields(config, side)
    if method not in PARTS:
        return counted
    return [field for field in counted if _makes_a_difference(method, task, config, side, field)]


def _makes_a_difference(method: str, task: Task, config: Any, side: str, field: Field) -> bool:
    """Whether more of these steps cost more. Steps that another setting fixes count as such."""
    more = replace(config, **{field.name: getattr(config, field.name) + 1})
    if getattr(more, field.name) == getattr(config, field.name):
        return True
    return _flops(method, task, more, side) != _flops(method, task, config, side)


def _solved_fields(
    method: str, task: Task, config: Any, settings: dict[str, Any], side: str
) -> list[Field]:
    """The step-counting fields that a budget solves: those that are not among the settings.

    A field that was added later and makes no difference keeps its default, and cells their keys.
    """
    solved = []
    for field in counted_fields(config, side):
        if field.name in settings:
            continue
        later = field.metadata.get("later") and method in PARTS
        if later and not _makes_a_difference(method, task, config, side, field):
            continue
        solved.append(field)
    return solved


def _steps_of_side(
    method: str, task: Task, settings: dict[str, Any], side: str, limit: float
) -> dict[str, float]:
    """The steps of one side, of which the FLOPs come nearest to a limit."""
    config = METHODS[method].Config(**settings)
    counted = _solved_fields(method, task, config, settings, side)
    if not counted:
        return {}

    def flops_at(steps: dict[str, float]) -> float:
        return _flops(method, task, replace(config, **steps), side)

    # The paper's steps; more of them, in few rounds, only where the budget pays for those
    at_most = {field.name: papers_steps(config, field) for field in counted}
    if flops_at(_rounded(config, counted, at_most)) <= limit:
        at_most = {field.name: most_steps(config, field, task) for field in counted}
    full = _rounded(config, counted, at_most)
    if flops_at(full) <= limit:
        return full

    share = _share_within(flops_at, at_most, limit)
    wanted = {name: steps * share for name, steps in at_most.items()}

    # The finest of the whole numbers takes up what rounding the others leaves over. Where that is
    # less than half of its own share, they are rounded down: an epoch too many can cost all of it.
    steps, finest = _filled(_rounded(config, counted, wanted), full, flops_at, limit)
    if finest and steps[finest] < wanted[finest] / 2:
        down = _rounded(config, counted, wanted, math.floor)
        steps, _ = _filled(down, full, flops_at, limit)
    return steps


def _share_within(
    flops_at: Callable[[dict[str, float]], float], at_most: dict[str, float], limit: float
) -> float:
    """The share of the steps, before any of them is rounded, of which the FLOPs meet a limit."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        if flops_at({name: steps * share for name, steps in at_most.items()}) > limit:
            high = share
        else:
            low = share
    return low


def _rounded(
    config: Any,
    counted: list[Field],
    steps: dict[str, float],
    rounded: Callable[[float], int] = round,
) -> dict[str, float]:
    """A number of steps for each field, as the fields take it."""
    return {field.name: _whole(config, field, steps[field.name], rounded) for field in counted}


def _filled(
    steps: dict[str, float],
    full: dict[str, float],
    flops: Callable[[dict[str, float]], float],
    limit: float,
) -> tuple[dict[str, float], str]:
    """The steps with as many of the finest kind as meet the limit, and the name of that kind.

    Args:
        steps: of each kind, rounded.
        full: the most of each kind.
        flops: of steps.
        limit: of the FLOPs.

    Returns:
        The steps as they are, and "", where no kind is whole and costs anything.
    """
    now = flops(steps)
    for name in sorted(full, key=lambda name: -full[name]):
        more = flops(steps | {name: steps[name] + 1})
        if more > now and isinstance(full[name], int):
            n = steps[name] + round((limit - now) / (more - now))
            return steps | {name: min(max(1, n), full[name])}, name
    return steps, ""


def _whole(
    config: Any, field: Field, steps: float, rounded: Callable[[float], int] = round
) -> float:
    """A number of steps as the field takes it: whole and at least 1, or any float."""
    if get_type_hints(type(config))[field.name] is not float:
        return max(1, rounded(steps))
    return steps
