"""The shared stages: what several methods need, computed once and identical for all of them.

``warm_up``, ``last_model`` and ``lone_model`` are FedAvg / FedRolex and training alone; a method file names the stage,
and the loop stands here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch

from mosaic.fl.aggregation import average_parts
from mosaic.fl.cache import OneByOne, stage
from mosaic.fl.channel import download, upload
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.models.cnn import initial, layout
from mosaic.fl.rng import generator, seed_of
from mosaic.fl.submodel import Window, cut, window
from mosaic.fl.task import Skip, State, Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import Loss, spec_of, train


@stage(version=1)
def warm_up(task: Task, t: int) -> State:
    """The server model after ``t`` rounds of FedRolex, which at width 1 is FedAvg.

    Each client trains a sub-model of its width, cut from the server's by a window that rolls one channel a round; the
    server takes the mean of each coordinate over the clients that hold it, weighted by their sample counts.
    McMahan et al., AISTATS 2017, Alg. 1; Alam et al., NeurIPS 2022, Alg. 1.
    """
    if t == 0:
        return initial(spec_of(task), task.seed)
    start = last_checkpoint(task, t - 1)
    server = warm_up(task, start)
    for r in range(start + 1, t + 1):
        last = (last_model(task, shard.client) for shard in participants(task, r)) if r == task.rounds else None
        server = average_round(task, server, last or updates(task, server, r), r)
    return server


@stage(version=1)
def last_model(task: Task, client: int) -> State:
    """A client's model after its local training of the last round: FedAvg's last average is over these.

    Each is kept by itself, so that a thousand of them are never in memory at once.
    """
    return update(task, warm_up(task, task.rounds - 1), task.rounds, open_federation(task).shards[client])


def local_models(task: Task) -> Sequence[State]:
    """The clients' models of the last round. Where only some took part in it, the others are asked too, this once."""
    return OneByOne(partial(last_model, task), task.n_clients)


def last_checkpoint(task: Task, t: int) -> int:
    """The last round up to ``t`` whose server model is kept: 0, the scored ones, and the last but one."""
    return t if t == task.rounds - 1 else t - t % task.score_every


LossOf = Callable[[Shard, State], Loss]
"""The loss that a client minimises, by its shard and the sub-model it received, for methods that change it."""


def updates(task: Task, server: State, t: int, loss_of: LossOf | None = None) -> Iterator[State]:
    """Round ``t`` from the clients' side: each downloads its sub-model, trains it and uploads it."""
    for shard in participants(task, t):
        yield update(task, server, t, shard, loss_of)


def update(task: Task, server: State, t: int, shard: Shard, loss_of: LossOf | None = None) -> State:
    """One client's part of round ``t``: see :func:`updates`."""
    received = download(cut(server, layout(spec_of(task)), window(spec_of(task, shard.width), shift=t)))
    if t == task.rounds == 1 and loss_of is None and same(received, own_start(task, shard, t)):
        return upload(lone_model(task, shard.client, only_shift(task, shard.client)))  # all the training there is
    loss = loss_of(shard, received) if loss_of else cross_entropy
    return upload(train(received, shard, task, "round", t, shard.client, width=shard.width, loss=loss))


def own_start(task: Task, shard: Shard, shift: int) -> State:
    """A client's part of everybody's initial weights."""
    spec = spec_of(task)
    return cut(initial(spec, task.seed), layout(spec), window(spec_of(task, shard.width), shift=shift))


def only_shift(task: Task, client: int) -> int:
    """Where the window of an only round, round 1, begins: 0 for who holds all, wherever it begins."""
    return int(task.width(client) < 1)


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
    drawn = torch.randperm(len(shards), generator=generator(task.seed, "participants", t))[:n]
    return [shards[client] for client in sorted(drawn.tolist())]


def everybody(task: Task) -> list[Shard]:
    """All clients, for a server that works on all their models in each round; Skip where only some take part."""
    if task.participation < 1:
        raise Skip("its server works on all clients' models in each round: participation must be 1")
    return open_federation(task).shards


def average_round(task: Task, server: State, clients: Iterable[State], t: int, equal: bool = False) -> State:
    """Round ``t`` from the server's side: its model, with each coordinate averaged over who took part and holds it.

    Clients count by their samples, or all the same (``equal``).
    """
    shards = participants(task, t)
    held = (window(spec_of(task, shard.width), shift=t) for shard in shards)
    weights = [1 if equal else shard.size for shard in shards]
    return average_parts(server, zip(clients, held, strict=True), weights, layout(spec_of(task)))


def windows(task: Task, t: int) -> list[Window]:
    """Which channels each client holds in round ``t``."""
    return [window(spec_of(task, shard.width), shift=t) for shard in open_federation(task).shards]


Waves = list[list[partial]]
"""What a method will ask of the store, by its ``stages(task, config)``: calls of stages, wave after wave, of which one
needs only those of the waves before. A run computes the calls of a wave side by side; to say nothing is always right.
"""


def of_all_rounds(task: Task) -> Waves:
    """The waves of a method that works on the server's and the clients' models of the last round."""
    last = [partial(last_model, task, client) for client in range(task.n_clients)]
    before, after = [partial(warm_up, task, task.rounds - 1)], [partial(warm_up, task, task.rounds)]
    return [*of_an_only_round(task), before, last, after]


def of_an_only_round(task: Task) -> Waves:
    """Where there is but one round, what clients train in it is what each trains alone."""
    alone = [partial(lone_model, task, client, only_shift(task, client)) for client in range(task.n_clients)]
    return [alone] if task.rounds == 1 else []


def of_lone_models(task: Task) -> Waves:
    return [[partial(lone_model, task, client) for client in range(task.n_clients)]]


@stage(version=1)
def lone_model(task: Task, client: int, shift: int = 0) -> State:
    """A client's own model, trained alone from the common start for the local work of all rounds.

    A narrow client's start is the window of it that begins at channel ``shift``.
    """
    shard = open_federation(task).shards[client]
    state = own_start(task, shard, shift)
    for t in range(1, task.rounds + 1):
        state = train(state, shard, task, "round", t, client, width=shard.width)
    return state


@stage(version=1)
def pooled_model(task: Task, t: int, steps: int) -> State:
    """The server model trained on the whole pool for ``t`` rounds of ``steps`` steps each.

    ``task`` is one without clients (:meth:`Task.without_clients`), so that all partitions share it.
    """
    if t == 0:
        return initial(spec_of(task), task.seed)
    start = (t - 1) - (t - 1) % task.score_every
    state = pooled_model(task, start, steps)
    for r in range(start + 1, t + 1):
        state = train(state, open_federation(task).pool, task, "pool", r, steps=steps)
    return state


DOMAIN_STEPS, DOMAIN_BATCH, DOMAIN_LR = 2000, 64, 0.05


@stage(version=1)
def domain_classifier(dataset: str, precision: str, threads: int) -> State:
    """A classifier of the pooled real data, for metrics only: SGD with momentum 0.9, 2,000 steps of 64.

    It depends on the data set alone, on no seed of a run and on no network of a task (it is always ``cnn`` of base
    width 32), so that FID over its features can be compared between all records of a data set.
    """
    task = domain_task(dataset, precision, threads)
    state = initial(spec_of(task), seed_of(dataset, "domain"))
    return train(state, open_federation(task).pool, task, "domain", steps=DOMAIN_STEPS)


def domain_task(dataset: str, precision: str, threads: int) -> Task:
    return Task(
        dataset=dataset,
        model="cnn",
        base_width=32,
        precision=precision,
        threads=threads,
        batch_size=DOMAIN_BATCH,
        lr=DOMAIN_LR,
        momentum=0.9,
        weight_decay=5e-4,
    ).without_clients()
