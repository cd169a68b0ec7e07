"""Models trained without federation: each client alone, and all data pooled."""

from mosaic.fl.cache import stage
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.models.live_network import initial_model, layout_of
from mosaic.fl.models.spec import State
from mosaic.fl.submodel import cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import train


def client_start(task: Task, shard: Shard, shift: int) -> State:
    """A client's part of everybody's initial weights."""
    spec = task.spec
    return cut(
        initial_model(spec, task.seed),
        layout_of(spec),
        window(task.spec_at(shard.width), shift=shift),
    )


def one_shot_shift(task: Task, client: int) -> int:
    """Where the window of an only round, round 1, begins: 0 for who holds all, wherever it begins."""
    return int(task.width(client) < 1)


@stage(version=1, name="lone_model")
def independent_client_model(task: Task, client: int, shift: int = 0) -> State:
    """A client's own model, trained alone from the common start for the local work of all rounds.

    A narrow client's start is the window of it that begins at channel ``shift``.
    """
    shard = open_federation(task).shards[client]
    state = client_start(task, shard, shift)
    for t in range(1, task.rounds + 1):
        state = train(state, shard, task, round=t, width=shard.width)
    return state


@stage(version=1)
def pooled_model(task: Task, t: int, steps: int) -> State:
    """The server model trained on the whole pool for ``t`` rounds of ``steps`` steps each.

    ``task`` is one without clients (:meth:`Task.without_clients`), so that all partitions share it.
    """
    if t == 0:
        return initial_model(task.spec, task.seed)
    start = (t - 1) - (t - 1) % task.score_every
    state = pooled_model(task, start, steps)
    for r in range(start + 1, t + 1):
        state = train(state, open_federation(task).pool, task, "pool", r, steps=steps)
    return state
