"""A method's settings at a scale, by either budget, and what they make it compute."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

from benchmarks.planning.budget import shares_of_papers, spent, steps_by_factor, steps_within
from benchmarks.planning.cell import Work
from benchmarks.planning.client_data import with_fingerprint
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.scales import Budget, Scale
from benchmarks.planning.settings import configure
from mosaic.fl.data.loading import is_here
from mosaic.fl.task import Task

Known = tuple[tuple[str, Any], ...]
"""Settings that were read and checked, by name, as a key of a cache."""


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
    given = configure(method, settings)
    read = tuple((name, getattr(given, name)) for name in settings)
    equal = budget == "equal" and method in PARTS
    limits = scale.budget if equal else Budget(scale.client_work, scale.server_work)
    work = Work("paper", client_work=limits.client, server_work=limits.server)
    if equal:
        work = Work("equal", client_budget=limits.client, server_budget=limits.server)

    needs_data = task.epochs > 0 or _counts_modules(given)
    if needs_data and not download and not is_here(task.dataset, "train"):
        return given, work
    task = with_fingerprint(task) if needs_data else _without_split(task)
    if method not in PARTS:
        outside = steps_by_factor(method, task, dict(read), limits)
        config = configure(method, settings | outside)
        return config, _with_shares(method, task, config, work)

    steps = _steps(method, task, read, equal, limits)
    config = configure(method, settings | dict(steps))
    return config, _with_flops(method, task, config, work)


@lru_cache(maxsize=4096)
def _steps(method: str, task: Task, read: Known, equal: bool, limits: Budget) -> Known:
    steps_of = steps_within if equal else steps_by_factor
    return tuple(steps_of(method, task, dict(read), limits).items())


@lru_cache(maxsize=4096)
def _with_flops(method: str, task: Task, config: Any, work: Work) -> Work:
    known = {f"{side}_spent": value for side, value in spent(method, task, config).items()}
    counted = {name: value for name, value in known.items() if math.isfinite(value)}
    return _with_shares(method, task, config, replace(work, **counted))


def _with_shares(method: str, task: Task, config: Any, work: Work) -> Work:
    shares = shares_of_papers(method, task, config)
    return replace(work, **{f"{side}_share": share for side, share in shares.items()})


def _without_split(task: Task) -> Task:
    """The task without seed and split, which change the FLOPs only where these depend on the data.

    All seeds and omegas then share one entry of the caches above.
    """
    return replace(task, seed=0, omega=math.inf, law="class", partition="", data="")


def _counts_modules(config: Any) -> bool:
    """Whether a method's steps are those of each module of a client, one per class."""
    return getattr(config, "steps_per", "") == "module"
