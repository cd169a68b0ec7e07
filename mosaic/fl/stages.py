"""Cached models that several methods share: those of FedAvg or FedRolex, after some of the rounds.

They are computed once and are the same for every method: distillation methods start from the
models that FedAvg averages. Models trained without federation are in ``independent.py``.
"""

from collections.abc import Sequence
from functools import partial

from mosaic.fl.cache import stage
from mosaic.fl.checkpoints import in_order
from mosaic.fl.data.federation import open_federation
from mosaic.fl.independent import independent_client_model, one_shot_shift
from mosaic.fl.lazy_models import LazyModels
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_update, client_updates, participants
from mosaic.fl.task import Task


@stage(version=1, name="warm_up")
def federated_model(task: Task, t: int) -> State:
    """The server model after ``t`` rounds of FedRolex, which at full width is FedAvg.

    McMahan et al., AISTATS 2017, Alg. 1; Alam et al., NeurIPS 2022, Alg. 1. One round is described
    in ``rounds.py``.

    Args:
        task: The task.
        t: The number of rounds; 0 gives the initial weights.
    """
    if t == 0:
        return initial_model(task.spec, task.seed)

    checkpoints = checkpoints_before(task, t)
    server = in_order(federated_model, [(task, checkpoint) for checkpoint in checkpoints])
    for r in range(checkpoints[-1] + 1, t + 1):
        if r == task.rounds:
            # These are stages of their own, for methods that use the clients' models
            clients = (final_client_model(task, shard.client) for shard in participants(task, r))
        else:
            clients = client_updates(task, server, r)
        server = average_round(task, server, clients, r)
    return server


@stage(version=1, name="last_model")
def final_client_model(task: Task, client: int) -> State:
    """A client's model after its local training in the last round, before the last average.

    Each client's model is stored by itself, so that a thousand are never in memory together.
    """
    server = federated_model(task, task.rounds - 1)
    shard = open_federation(task).shards[client]
    return client_update(task, server, task.rounds, shard)


def final_client_models(task: Task) -> Sequence[State]:
    """The models of all clients after their local training in the last round.

    Where only some clients take part in a round, the others train in the last one too: for these
    models, not for the average.
    """
    return LazyModels(partial(final_client_model, task), task.n_clients)


def checkpoints_before(task: Task, t: int) -> list[int]:
    """The rounds before round ``t``, ascending from 0, whose server models are stored."""
    checkpoints: list[int] = []
    while t > 0:
        t = last_checkpoint(task, t - 1)
        checkpoints.insert(0, t)
    return checkpoints


def last_checkpoint(task: Task, t: int) -> int:
    """The last round, up to ``t``, whose server model is stored.

    These are round 0, the scored rounds, and the last but one, from which the final models of the
    clients start.
    """
    if t == task.rounds - 1:
        return t
    return t - t % task.score_every


Waves = list[list[partial]]
"""The stages that a method will use, as calls, in waves.

A call needs only results of earlier waves, so a run computes the calls of one wave in parallel.
It is what a method's function ``stages(task, config)`` returns. An empty list is always correct:
the method then computes its stages itself.
"""


def waves_of_all_rounds(task: Task) -> Waves:
    """For a method that uses the server's and the clients' models of the last round."""
    before_last = [partial(federated_model, task, task.rounds - 1)]
    clients = [partial(final_client_model, task, client) for client in range(task.n_clients)]
    server = [partial(federated_model, task, task.rounds)]
    return [*waves_of_one_shot(task), before_last, clients, server]


def waves_of_one_shot(task: Task) -> Waves:
    """The clients' training in a one-shot task, which is training without federation.

    For a task of several rounds there are none. See :func:`mosaic.fl.rounds.client_update`.
    """
    if task.rounds > 1:
        return []

    clients = []
    for client in range(task.n_clients):
        shift = one_shot_shift(task, client)
        clients.append(partial(independent_client_model, task, client, shift))
    return [clients]


def waves_of_independent_models(task: Task) -> Waves:
    """For a method that uses the models of clients trained without federation."""
    return [[partial(independent_client_model, task, client) for client in range(task.n_clients)]]
