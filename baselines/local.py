"""Local: nobody collaborates. The floor of every comparison.

Each client trains the common initial model alone, for the local work of all rounds; nothing crosses
the network. The result is the mean of the clients' accuracies on the full test set. At mixed widths
a client trains the first channels of every layer, as many as its width allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.contract import Snapshot
from mosaic.fl.independent import independent_client_model
from mosaic.fl.stages import Waves, waves_of_independent_models
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

PAPER = ""
PROTOCOL = "none"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Training alone has no settings of its own."""


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train each client alone and yield all their models after the local work of T rounds."""
    predictors = []
    for client in range(task.n_clients):
        # Cached: SGD on the client's own data, T times the local steps of a round
        model = independent_client_model(task, client)
        predictors.append(predictor(model, task, task.width(client)))
    yield Snapshot(task.rounds, predictors)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_independent_models(task)
