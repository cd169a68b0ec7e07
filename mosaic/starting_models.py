"""What Mosaic's server works on: its own model and the clients', by one of two protocols.

"rounds": T rounds of FedAvg (FedRolex where widths differ), and the models that its last average is over; so the
authors' code. "oneshot": each client trains alone from the common start, for the local work of all rounds, and uploads
once; nothing comes back before the result, and the server's first model is the average of what it got.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mosaic.fl.cache import OneByOne
from mosaic.fl.channel import upload
from mosaic.fl.models.cnn import initial
from mosaic.fl.stages import (
    Waves,
    average_round,
    last_model,
    local_models,
    lone_model,
    of_all_rounds,
    of_lone_models,
    warm_up,
    windows,
)
from mosaic.fl.submodel import Window
from mosaic.fl.task import State, Task
from mosaic.fl.training.sgd import spec_of


@dataclass(frozen=True, eq=False)
class Clients:
    """The server model, the clients' models, and the channels of the server's that each of them holds."""

    server: State
    models: Sequence[State]
    windows: list[Window]


def gather(task: Task, protocol: str) -> Clients:
    if protocol == "rounds":
        return Clients(warm_up(task, task.rounds), local_models(task), windows(task, task.rounds))
    models = OneByOne(partial(lone_model, task), task.n_clients)
    for model in models:
        upload(model)
    server = average_round(task, initial(spec_of(task), task.seed), models, 0)
    return Clients(server, models, windows(task, 0))


def own_model(task: Task, protocol: str, client: int) -> State:
    """A client's model at the end of its local training."""
    return last_model(task, client) if protocol == "rounds" else lone_model(task, client)


def stages(task: Task, protocol: str) -> Waves:
    return of_all_rounds(task) if protocol == "rounds" else of_lone_models(task)
