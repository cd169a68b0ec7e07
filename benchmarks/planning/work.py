"""A method's settings at a scale, by either budget, and what they make it compute."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

from benchmarks.planning.budget import shares_of_papers, spent, steps_by_factor, steps_within
from benchmarks.planning.cell import Work
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.scales import Budget, Scale
from benchmarks.planning.settings import configure
from mosaic.fl.data.loading import is_here
from mosaic.fl.task import Task

Known = tuple[tuple[str, Any], ...]
"""Settings that were read and checked, by name, as a key of a cache."""

AS_WRITTEN = {"client": 1.0, "server": 1.0}
"""Factors of work that change no number of steps."""


def planned(
    method: str, task: Task, settings: dict[str, Any], budget: str, scale: Scale, download: bool
) -> tuple[Any, Work]:
    """A method's Config with the steps of a budget, and what it computes.

    Args:
        method: its name in METHODS. One from outside has no forecast of its FLOPs: its steps are
            those of the budget "paper".
        task: the federated problem.
        settings: the other settings, as they were given. Steps among them stay as they are.
        budget: "equal" or "paper".
        scale: it has both.
        download: whether to get data on which FLOPs depend from the internet. If not, and if they
            are not on this machine, the steps are the paper's.

    Raises:
        InputError: a setting is wrong, or the data cannot be split as the task says.
    """
    given = configure(method, AS_WRITTEN, settings)
    read = tuple((name, getattr(given, name)) for name in settings)
    equal = budget == "equal" and method in PARTS
    limits = scale.budget if equal else Budget(scale.client_work, scale.server_work)
    work = Work("paper", client_work=limits.client, server_work=limits.server)
    if equal:
        work = Work("equal", client_budget=limits.client, server_budget=limits.server)

    needs_data = task.epochs > 0 or _counts_modules(given)
    if needs_data and not download and not is_here(task.dataset, "train"):
        return given, work
    if not needs_data:
        task = _without_split(task)
    if method not in PARTS:  # its settings may be of any kind, and its file may change
        return _planned.__wrapped__(method, task, read, equal, limits, work)
    return _planned(method, task, read, equal, limits, work)


@lru_cache(maxsize=4096)
def _planned(
    method: str, task: Task, read: Known, equal: bool, limits: Budget, work: Work
) -> tuple[Any, Work]:
    settings = dict(read)
    steps_of = steps_within if equal else steps_by_factor
    steps = steps_of(method, task, settings, limits)
    config = configure(method, AS_WRITTEN, settings | steps)

    known: dict[str, float] = {}
    if method in PARTS:
        known = {f"{side}_spent": value for side, value in spent(method, task, config).items()}
    for side, share in shares_of_papers(method, task, config).items():
        known[f"{side}_share"] = share
    numbers = {name: value for name, value in known.items() if math.isfinite(value)}
    return config, replace(work, **numbers)


def _without_split(task: Task) -> Task:
    """The task without what no FLOPs depend on, unless they depend on the clients' data."""
    return replace(task, seed=0, omega=math.inf, law="class", partition="", data="")


def _counts_modules(config: Any) -> bool:
    """Whether a method's steps are those of each module of a client, one per class."""
    return getattr(config, "steps_per", "") == "module"
