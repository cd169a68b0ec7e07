"""What Mosaic's server works on: its own model and the clients', by one of two protocols.

"rounds": T rounds of FedAvg (FedRolex where widths differ), and the models that its last average is over; so the
authors' code. "oneshot": each client trains alone from the common start, for the local work of all rounds, and uploads
once; nothing comes back before the result, and the server's first model is the average of what it got.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mosaic.fl.cache import LazyModels
from mosaic.fl.channel import upload
from mosaic.fl.independent import independent_client_model
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_windows
from mosaic.fl.stages import (
    Waves,
    federated_model,
    final_client_model,
    final_client_models,
    waves_of_all_rounds,
    waves_of_independent_models,
)
from mosaic.fl.submodel import Window
from mosaic.fl.task import Task


@dataclass(frozen=True, eq=False)
class Clients:
    """The server model, the clients' models, and the channels of the server's that each of them holds."""

    server: State
    models: Sequence[State]
    windows: list[Window]


def gather(task: Task, protocol: str) -> Clients:
    if protocol == "rounds":
        return Clients(
            federated_model(task, task.rounds),
            final_client_models(task),
            client_windows(task, task.rounds),
        )
    models = LazyModels(partial(independent_client_model, task), task.n_clients)
    for model in models:
        upload(model)
    server = average_round(task, initial_model(task.spec, task.seed), models, 0)
    return Clients(server, models, client_windows(task, 0))


def own_model(task: Task, protocol: str, client: int) -> State:
    """A client's model at the end of its local training."""
    return (
        final_client_model(task, client)
        if protocol == "rounds"
        else independent_client_model(task, client)
    )


def stages(task: Task, protocol: str) -> Waves:
    return waves_of_all_rounds(task) if protocol == "rounds" else waves_of_independent_models(task)
