"""Ensemble: the plain mean of the clients' logits. What one-shot methods try to distil into one model.

The upper reference of DENSE (Zhang et al., NeurIPS 2022) and of the one-shot methods after it. Its members are the
clients' models of the last round, the very ones that FedAvg's last average is over, each with its own running
BatchNorm statistics. It is not one model: whoever serves it keeps the models of all N clients and runs N passes an
image.

Differs from the one-shot papers: the members come from T rounds of FedAvg (FedRolex where widths differ), not from
training alone. The mean is plain, as theirs: no weights n_k.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mosaic.fl.device import device
from mosaic.fl.ensemble import answers, teachers_of
from mosaic.fl.stages import Waves, local_models, of_all_rounds
from mosaic.fl.task import Predict, Snapshot, State, Task

PAPER = ""
PROTOCOL = "once, after the rounds"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    yield Snapshot(task.rounds, mean_of(task, local_models(task)))


def stages(task: Task, config: Config) -> Waves:
    return of_all_rounds(task)[:2]


def mean_of(task: Task, clients: Sequence[State]) -> Predict:
    """Images (B, C, H, W) to the mean of all clients' logits (B, K)."""
    members = teachers_of(task, clients)
    return lambda images: answers(members, images.to(device()), task).mean(0)
