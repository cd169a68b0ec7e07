"""One round of FedAvg or FedRolex: who takes part, what each client does, what the server averages."""

from collections.abc import Callable, Iterable, Iterator

import torch

from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.independent import client_start, independent_client_model, one_shot_shift
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.submodel import Window, cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import Loss, train

LossOf = Callable[[Shard, State], Loss]
"""The loss that a client minimises, by its shard and the sub-model it received, for methods that change it."""


def client_updates(
    task: Task, server: State, t: int, loss_of: LossOf | None = None
) -> Iterator[State]:
    """Round ``t`` from the clients' side: each downloads its sub-model, trains it and uploads it."""
    for shard in participants(task, t):
        yield client_update(task, server, t, shard, loss_of)


def client_update(
    task: Task, server: State, t: int, shard: Shard, loss_of: LossOf | None = None
) -> State:
    """One client's part of round ``t``: see :func:`client_updates`."""
    received = download(cut(server, task.layout, window(task.spec_at(shard.width), shift=t)))
    if t == task.rounds == 1 and loss_of is None and same(received, client_start(task, shard, t)):
        return upload(
            independent_client_model(task, shard.client, one_shot_shift(task, shard.client))
        )  # all the training there is
    loss = loss_of(shard, received) if loss_of else cross_entropy
    return upload(train(received, shard, task, round=t, width=shard.width, loss=loss))


def same(a: State, b: State) -> bool:
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def participants(task: Task, t: int) -> list[Shard]:
    """Who takes part in round ``t``: ``task.participation`` of the clients, at least one, drawn alike for all methods.

    In round 0, which is no round, it is everybody.
    """
    shards = open_federation(task).shards
    if task.participation == 1 or t == 0:
        return shards
    n = max(1, round(task.participation * len(shards)))
    drawn = torch.randperm(len(shards), generator=stream(task.seed, "participants", t))[:n]
    return [shards[client] for client in sorted(drawn.tolist())]


def require_all_clients(task: Task) -> list[Shard]:
    """All clients, for a server that works on all their models in each round; Skip where only some take part."""
    if task.participation < 1:
        raise Skip("its server works on all clients' models in each round: participation must be 1")
    return open_federation(task).shards


def average_round(
    task: Task, server: State, clients: Iterable[State], t: int, equal: bool = False
) -> State:
    """Round ``t`` from the server's side: its model, with each coordinate averaged over who took part and holds it.

    Clients count by their samples, or all the same (``equal``).
    """
    shards = participants(task, t)
    held = (window(task.spec_at(shard.width), shift=t) for shard in shards)
    weights = [1 if equal else shard.size for shard in shards]
    return average_parts(server, zip(clients, held, strict=True), weights, task.layout)


def client_windows(task: Task, t: int) -> list[Window]:
    """Which channels each client holds in round ``t``."""
    return [window(task.spec_at(shard.width), shift=t) for shard in open_federation(task).shards]
