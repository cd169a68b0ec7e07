"""What Mosaic's server starts from: its own model and the clients', by one of two protocols.

"rounds": T rounds of FedAvg (FedRolex where widths differ), and the models that the last average is
over, as in the authors' code. "oneshot": each client trains alone from the common initial model,
for the local work of all rounds, and uploads once. Nothing is sent back to the clients before the
result; the server's first model is the average of what it received.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mosaic.fl.channel import upload
from mosaic.fl.independent import independent_client_model
from mosaic.fl.lazy_models import LazyModels
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
    """The models that Mosaic's server works on.

    Attributes:
        server: the server's model.
        models: the clients' models, in the clients' order; read from the cache as needed.
        windows: for each client, the server's channels that its model has.
    """

    server: State
    models: Sequence[State]
    windows: list[Window]


def gather(task: Task, protocol: str) -> Clients:
    """The server's and the clients' models by the protocol "rounds" or "oneshot".

    In the one-shot protocol the clients' uploads are counted here.
    """
    if protocol == "rounds":
        return Clients(
            server=federated_model(task, task.rounds),
            models=final_client_models(task),
            windows=client_windows(task, task.rounds),
        )

    models = LazyModels(partial(independent_client_model, task), task.n_clients)
    for model in models:
        upload(model)
    server = average_round(task, initial_model(task.spec, task.seed), models, 0)
    return Clients(server, models, client_windows(task, 0))


def own_model(task: Task, protocol: str, client: int) -> State:
    """A client's model at the end of its local training, by the protocol "rounds" or "oneshot"."""
    if protocol == "rounds":
        return final_client_model(task, client)
    return independent_client_model(task, client)


def stages(task: Task, protocol: str) -> Waves:
    """The cached stages that ``gather`` calls, in waves."""
    if protocol == "rounds":
        return waves_of_all_rounds(task)
    return waves_of_independent_models(task)
