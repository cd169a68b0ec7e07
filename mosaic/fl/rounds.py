"""One round of FedAvg or FedRolex: the clients that take part, their training, the average.

With ``server`` the model after round t - 1, round t is

    clients = client_updates(task, server, t)
    server = average_round(task, server, clients, t)

At full width this is FedAvg (McMahan et al., AISTATS 2017, Alg. 1). Where clients have a width
below 1, each trains a sub-model, cut from the server's by a window that moves in each round, and
this is FedRolex (Alam et al., NeurIPS 2022, Alg. 1), without the mask and the own rows of its code
(``absent_classes.py``).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.device import device
from mosaic.fl.independent import client_start, independent_client_model, one_shot_shift
from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.submodel import Window, cut, rolling_window
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import Loss, Samples, n_steps, train

LossOf = Callable[[Shard, State], Loss]
"""A client's loss, from its shard and the model that it received, for methods that change it."""


def client_updates(
    task: Task,
    server: State,
    t: int,
    loss_of: LossOf | None = None,
    samples: Sequence[Samples] | None = None,
) -> Iterator[State]:
    """The clients' side of round ``t``: each participant receives, trains and sends its model.

    Args:
        task: The task.
        server: The server model after round ``t - 1``.
        t: The round, from 1.
        loss_of: Each client's loss; by default cross entropy.
        samples: What each client trains on, by its number; by default its shard.

    Yields:
        The trained model of each of :func:`participants`, in their order.
    """
    for shard in participants(task, t):
        of_client = None if samples is None else samples[shard.client]
        yield client_update(task, server, t, shard, loss_of, of_client)


def client_update(
    task: Task,
    server: State,
    t: int,
    shard: Shard,
    loss_of: LossOf | None = None,
    samples: Samples | None = None,
) -> State:
    """The part of one client, that of ``shard``, in :func:`client_updates`.

    The client takes as many steps as on its shard, also if ``samples`` are more.
    """
    channels = rolling_window(task, shard.width, t)
    received = download(cut(server, task.layout, channels))

    # A one-shot task has a single round. If the client trains in it from the common initial weights
    # and with the usual loss, it does just what it would do without federation. That model is a
    # stage, which other methods use too (`local`, one-shot methods): each client is trained once.
    is_one_shot = task.rounds == 1 and t == 1
    is_usual = loss_of is None and samples is None
    if is_one_shot and is_usual and _equal(received, client_start(task, shard, shift=t)):
        shift = one_shot_shift(task, shard.client)
        return upload(independent_client_model(task, shard.client, shift))

    loss = cross_entropy if loss_of is None else loss_of(shard, received)
    trained = train(
        received,
        shard if samples is None else samples,
        task,
        round=t,
        width=shard.width,
        steps=n_steps(task, shard.size),
        loss=loss,
    )
    return upload(trained)


def _equal(a: State, b: State) -> bool:
    """Whether two models have the same values."""
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def participants(task: Task, t: int) -> Sequence[Shard]:
    """The clients that take part in round ``t``, ascending; for every method the same ones.

    They are a random share ``task.participation`` of all clients, and at least one. In round 0,
    which stands for the time before the first round, they are all clients.
    """
    shards = open_federation(task).shards
    if task.participation == 1 or t == 0:
        return shards

    n = max(1, round(task.participation * len(shards)))
    drawn = torch.randperm(len(shards), generator=stream(task.seed, "participants", t))[:n]
    return [shards[client] for client in sorted(drawn.tolist())]


def require_all_clients(task: Task) -> Sequence[Shard]:
    """All clients, for a method whose server works on the models of all of them in each round.

    Raises:
        Skip: If only some clients take part in a round.
    """
    if task.participation < 1:
        raise Skip("its server works on all clients' models in each round: participation must be 1")
    return open_federation(task).shards


def require_batch_norm(task: Task) -> None:
    """Check the model, for a method that compares images by their BatchNorm statistics.

    Raises:
        Skip: If the task's model has no BatchNorm layer.
    """
    if not live_network(task.spec, device()).norms:
        raise Skip(f"it compares BatchNorm statistics, and the model {task.model} has no BatchNorm")


def average_round(
    task: Task, server: State, clients: Iterable[State], t: int, equal: bool = False
) -> State:
    """The server's side of round ``t``: the average of the models that the clients have sent.

    Each coordinate is averaged over the participants whose sub-model has it; one that no
    sub-model has keeps its value.

    Args:
        task: The task.
        server: The server model after round ``t - 1``.
        clients: The models of the :func:`participants`, in their order.
        t: The round, from 1.
        equal: Whether all clients have the same weight, and not their number of samples.

    Returns:
        The server model after round ``t``.
    """
    shards = participants(task, t)
    weights = [1 if equal else shard.size for shard in shards]
    windows = (rolling_window(task, shard.width, t) for shard in shards)
    return average_parts(server, zip(clients, windows, strict=True), weights, task.layout)


def client_windows(task: Task, t: int) -> list[Window]:
    """The channels of each client's sub-model in round ``t``."""
    return [rolling_window(task, shard.width, t) for shard in open_federation(task).shards]


def turns_of_round(turns: float, n_rounds: int, t: int) -> list[float]:
    """The turns that the server's generator and student take in round ``t``: the share of each.

    Args:
        turns: Per round, on average: with 2.5 there are 2, 3, 2, 3, ...
        n_rounds: The task's number of rounds.
        t: The round, from 1.

    Returns:
        1 for each whole turn. If the turns of all rounds together are not whole, the last round
        ends with the share in (0, 1) that is left over: see :func:`part_of_turn`.
    """

    def whole_until(n: int) -> int:
        return math.floor(turns * n + 1e-9)  # rounding errors do not count

    shares = [1.0] * (whole_until(t) - whole_until(t - 1))
    rest = turns * n_rounds - whole_until(n_rounds)
    if t == n_rounds and rest > 1e-9:
        shares.append(rest)
    return shares


def part_of_turn(config: Any, share: float, *names: str) -> Any:
    """A method's settings for a share of a turn.

    Args:
        config: The settings of a whole turn, a dataclass.
        share: In (0, 1].
        names: The fields that count steps of a turn. Each is at least 1.
    """
    if share == 1:
        return config
    steps = {name: max(1, round(share * getattr(config, name))) for name in names}
    return replace(config, **steps)
