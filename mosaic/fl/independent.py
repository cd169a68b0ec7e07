"""Models trained without federation: one per client on its own data, and one on all data pooled."""

from mosaic.fl.cache import stage
from mosaic.fl.checkpoints import in_order
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.submodel import cut, rolling_window
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import Samples, n_steps, train


def client_start(task: Task, shard: Shard, shift: int) -> State:
    """The client's part of the initial weights, which are the same for all clients and methods.

    Args:
        task: The task.
        shard: The client's shard.
        shift: The round whose window it is; 0 for the first channels.
    """
    channels = rolling_window(task, shard.width, shift)
    return cut(initial_model(task.spec, task.seed), task.layout, channels)


def one_shot_shift(task: Task, client: int) -> int:
    """The ``shift`` of a client's model in the round of a one-shot task, which is round 1.

    It is 0 where that window is the first channels, so that the stage is the one of training alone:
    at full width, and where the window goes once around in that one round.
    """
    return 1 if task.width(client) < 1 and task.roll == "channel" else 0


@stage(version=1, name="lone_model")
def independent_client_model(task: Task, client: int, shift: int = 0) -> State:
    """A client's model, trained on its own data only, for as many steps as in all rounds together.

    Args:
        task: The task.
        client: The client's number.
        shift: The round whose window a client of width below 1 starts from; 0 for the first
            channels.
    """
    shard = open_federation(task).shards[client]
    return trained_alone(task, shard, shard, shift)


def trained_alone(task: Task, shard: Shard, samples: Samples, shift: int = 0) -> State:
    """Train a client's model from the initial weights, without federation.

    Args:
        task: The task.
        shard: The client's shard, which gives the width and the number of steps.
        samples: What the model is trained on.
        shift: The round whose window a client of width below 1 starts from; 0 for the first
            channels.
    """
    state = client_start(task, shard, shift)
    steps = n_steps(task, shard.size)
    for t in range(1, task.rounds + 1):
        state = train(state, samples, task, round=t, width=shard.width, steps=steps)
    return state


@stage(version=1)
def pooled_model(task: Task, t: int, steps: int) -> State:
    """The server model trained on all training data for ``t`` rounds.

    Args:
        task: A task without clients (:meth:`Task.without_clients`), so that all partitions of the
            same data share the model.
        t: The number of rounds; 0 gives the initial weights.
        steps: Steps per round.
    """
    if t == 0:
        return initial_model(task.spec, task.seed)

    # Go on from the last scored round, whose model is in the cache
    start = (t - 1) - (t - 1) % task.score_every
    scored = range(0, start + 1, task.score_every)
    state = in_order(pooled_model, [(task, checkpoint, steps) for checkpoint in scored])
    pool = open_federation(task).pool
    for r in range(start + 1, t + 1):
        state = train(state, pool, task, "pool", r, steps=steps)
    return state
