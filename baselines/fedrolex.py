"""FedRolex: each client trains a sub-model of its width, cut by a window that rolls over the server's channels.

Alam et al., FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model Extraction, NeurIPS 2022,
arXiv:2212.01548, Algorithm 1. The rounds are those of the shared warm-up (``mosaic/fl/stages.py``).

Differs from the paper and its code: clients weigh n_k instead of 1 (so that FedRolex at width 1 is FedAvg); every
client takes part and keeps its width; the window rolls forwards, as in the paper's text; every client updates all
classes' rows of the classifier, and its loss masks none; BatchNorm follows the task's policy for all methods.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.contract import Snapshot
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

PAPER = "Alam et al., NeurIPS 2022"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    for t in filter(task.scored, range(1, task.rounds + 1)):
        yield Snapshot(t, predictor(federated_model(task, t), task))


def stages(task: Task, config: Config) -> Waves:
    return waves_of_all_rounds(task)
