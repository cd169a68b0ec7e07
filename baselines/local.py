"""Local: nobody collaborates. The floor of every comparison.

Each client trains the common initial model alone, for the local work of all rounds; nothing crosses the network. The
result is the mean of the clients' accuracies on the full test set. At mixed widths a client trains its static prefix.
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
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    models = [independent_client_model(task, i) for i in range(task.n_clients)]
    yield Snapshot(
        task.rounds, [predictor(model, task, task.width(i)) for i, model in enumerate(models)]
    )


def stages(task: Task, config: Config) -> Waves:
    return waves_of_independent_models(task)
