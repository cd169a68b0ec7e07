"""Ensemble: the plain mean of the clients' logits. What one-shot methods try to distil into one model.

The upper reference of DENSE (Zhang et al., NeurIPS 2022) and of the one-shot methods after it. Its members are the
clients' models of the last round, the very ones that FedAvg's last average is over, each with its own running
BatchNorm statistics. It is not one model: whoever serves it keeps the models of all N clients and runs N passes an
image.

Differs from the one-shot papers: the members come from T rounds of FedAvg (FedRolex where widths differ), not from
training alone. The mean is plain, as theirs: no weights n_k.

``mean="probabilities"`` has each client say probabilities before the mean is taken, so that one that has never seen a
class, and is the surer of it, counts no more than another. DENSE and Co-Boosting teach by the logits' mean; the
accuracies that are published as DENSE's "ensemble" are met by that of the probabilities (results/README.md).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from mosaic.fl.contract import Predict, Snapshot, choice
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.stages import Waves, final_client_models, waves_of_all_rounds
from mosaic.fl.task import Task
from mosaic.fl.training.teachers import teacher_logits, teachers_of

PAPER = ""
PROTOCOL = "once, after the rounds"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    mean: str = choice("logits", "probabilities", later=True)


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    yield Snapshot(task.rounds, mean_of(task, config, final_client_models(task)))


def stages(task: Task, config: Config) -> Waves:
    return waves_of_all_rounds(task)[:2]


def mean_of(task: Task, config: Config, clients: Sequence[State]) -> Predict:
    """Images (B, C, H, W) to the mean of all clients' logits (B, K), or to the logarithm of that of probabilities."""
    members = teachers_of(task, clients)

    def predict(images: Tensor) -> Tensor:
        logits = teacher_logits(members, images.to(device()), task)
        return (
            logits.mean(0)
            if config.mean == "logits"
            else logits.log_softmax(2).logsumexp(0) - math.log(len(logits))
        )

    return predict
