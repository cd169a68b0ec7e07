"""The shared stages: what several methods need, computed once and identical for all of them.

``federated_model``, ``final_client_model`` and ``independent_client_model`` are FedAvg / FedRolex and training alone; a method file names the stage,
and the loop stands here.
"""

from collections.abc import Sequence
from functools import partial

from mosaic.fl.cache import LazyModels, stage
from mosaic.fl.data.federation import open_federation
from mosaic.fl.independent import independent_client_model, one_shot_shift
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_update, client_updates, participants
from mosaic.fl.task import Task


@stage(version=1, name="warm_up")
def federated_model(task: Task, t: int) -> State:
    """The server model after ``t`` rounds of FedRolex, which at width 1 is FedAvg.

    Each client trains a sub-model of its width, cut from the server's by a window that rolls one channel a round; the
    server takes the mean of each coordinate over the clients that hold it, weighted by their sample counts.
    McMahan et al., AISTATS 2017, Alg. 1; Alam et al., NeurIPS 2022, Alg. 1.
    """
    if t == 0:
        return initial_model(task.spec, task.seed)
    start = last_checkpoint(task, t - 1)
    server = federated_model(task, start)
    for r in range(start + 1, t + 1):
        last = (
            (final_client_model(task, shard.client) for shard in participants(task, r))
            if r == task.rounds
            else None
        )
        server = average_round(task, server, last or client_updates(task, server, r), r)
    return server


@stage(version=1, name="last_model")
def final_client_model(task: Task, client: int) -> State:
    """A client's model after its local training of the last round: FedAvg's last average is over these.

    Each is kept by itself, so that a thousand of them are never in memory at once.
    """
    return client_update(
        task,
        federated_model(task, task.rounds - 1),
        task.rounds,
        open_federation(task).shards[client],
    )


def final_client_models(task: Task) -> Sequence[State]:
    """The clients' models of the last round. Where only some took part in it, the others are asked too, this once."""
    return LazyModels(partial(final_client_model, task), task.n_clients)


def last_checkpoint(task: Task, t: int) -> int:
    """The last round up to ``t`` whose server model is kept: 0, the scored ones, and the last but one."""
    return t if t == task.rounds - 1 else t - t % task.score_every


Waves = list[list[partial]]
"""What a method will ask of the store, by its ``stages(task, config)``: calls of stages, wave after wave, of which one
needs only those of the waves before. A run computes the calls of a wave side by side; to say nothing is always right.
"""


def waves_of_all_rounds(task: Task) -> Waves:
    """The waves of a method that works on the server's and the clients' models of the last round."""
    last = [partial(final_client_model, task, client) for client in range(task.n_clients)]
    before, after = (
        [partial(federated_model, task, task.rounds - 1)],
        [partial(federated_model, task, task.rounds)],
    )
    return [*waves_of_one_shot(task), before, last, after]


def waves_of_one_shot(task: Task) -> Waves:
    """Where there is but one round, what clients train in it is what each trains alone."""
    alone = [
        partial(independent_client_model, task, client, one_shot_shift(task, client))
        for client in range(task.n_clients)
    ]
    return [alone] if task.rounds == 1 else []


def waves_of_independent_models(task: Task) -> Waves:
    return [[partial(independent_client_model, task, client) for client in range(task.n_clients)]]
