"""Local: nobody collaborates. The floor of every comparison.

Each client trains the common initial model alone, for the local work of all rounds; nothing crosses the network. The
result is the mean of the clients' accuracies on the full test set. At mixed widths a client trains its static prefix.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.stages import Waves, lone_model, of_lone_models
from mosaic.fl.task import Snapshot, Task
from mosaic.fl.training.sgd import predictor

PAPER = ""
PROTOCOL = "none"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    models = [lone_model(task, i) for i in range(task.n_clients)]
    yield Snapshot(task.rounds, [predictor(model, task, task.width(i)) for i, model in enumerate(models)])


def stages(task: Task, config: Config) -> Waves:
    return of_lone_models(task)
