"""Equal budgets: how many steps a method takes, so that all methods compute equally much.

There are two budgets, for what the clients compute beyond FedAvg's local training, and for what the
server computes. Both are multiples of the FLOPs of FedAvg's own local training of the task. From
the FLOPs of a method's steps (``method_flops.py``) follows the share of its paper's steps that the
budget pays for: the same share for all of its steps of one side, and never more than all of them.
"""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from benchmarks.planning.flop_parts import local_training
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS
from benchmarks.planning.network_flops import classifier
from mosaic.fl.data.federation import open_federation
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import n_steps, samples_per_batch

SIDES = ("client", "server")

HALVINGS = 60
"""Of the interval in which a share is searched; more than the digits of a float."""


@dataclass(frozen=True)
class Budget:
    """What a method may compute, in multiples of FedAvg's local training of the same task.

    Attributes:
        client: all clients together, beyond FedAvg's local training.
        server: the server.
    """

    client: float
    server: float


def steps_within(
    method: str, task: Task, settings: dict[str, Any], budget: Budget
) -> dict[str, float]:
    """The steps that a method's budgets pay for.

    Args:
        method: its name in METHODS; one without a forecast of its FLOPs keeps its paper's steps.
        task: the federated problem.
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


def spent(method: str, task: Task, config: Any) -> dict[str, float]:
    """What a method computes, by side, in multiples of FedAvg's local training of the task."""
    unit = federated_flops(task)
    return {side: _flops(method, task, config, side) / unit for side in SIDES}


def federated_flops(task: Task) -> float:
    """The FLOPs of FedAvg's local training of the whole network, at all clients in all rounds.

    Narrow clients' is not the unit, so that a budget pays for equally much at all widths. Where the
    task counts epochs, the data are opened.
    """
    task = replace(task, widths=())
    if not task.epochs:
        return local_training(task)
    total = 0.0
    for shard in open_federation(task).shards:
        images = n_steps(task, shard.size) * samples_per_batch(shard.size, task.batch_size)
        total += images * classifier(task.spec_at(shard.width), weights=True)
    return task.participation * task.rounds * total


def _flops(method: str, task: Task, config: Any, side: str) -> float:
    return sum(part.flops for part in PARTS[method](task, config) if part.side == side)


def _steps_of_side(
    method: str, task: Task, settings: dict[str, Any], side: str, limit: float
) -> dict[str, float]:
    """The steps of one side, of which the FLOPs come nearest to a limit."""
    config = METHODS[method].Config(**settings)
    papers: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        if field.metadata.get("work") == side and field.name not in settings:
            papers[field.name] = field.metadata["papers"]
    if not papers:
        return {}

    def flops(steps: dict[str, float]) -> float:
        return _flops(method, task, dataclasses.replace(config, **steps), side)

    if flops(papers) <= limit:
        return papers

    # The share of the paper's steps, before any of them is rounded
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        if flops({name: steps * share for name, steps in papers.items()}) > limit:
            high = share
        else:
            low = share
    types = get_type_hints(type(config))
    steps: dict[str, float] = {}
    for name, n in papers.items():
        steps[name] = n * low if types[name] is float else max(1, round(n * low))

    # The finest of the whole numbers takes up what rounding the others leaves over
    for name in sorted(papers, key=lambda name: -papers[name]):
        now, more = flops(steps), flops(steps | {name: steps[name] + 1})
        if more > now and types[name] is not float:
            n = int(steps[name]) + round((limit - now) / (more - now))
            return steps | {name: min(max(1, n), papers[name])}
    return steps
