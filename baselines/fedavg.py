"""FedAvg: clients train the server's model on their own data, the server takes the weighted mean.

McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017,
arXiv:1602.05629, Algorithm 1. The rounds are those of the shared warm-up (``mosaic/fl/stages.py``), which distillation
methods start from: they are computed once for all.

Differs from the paper: every client takes part in every round. BatchNorm's running statistics are averaged with the
weights; leaving them at the clients would be FedBN. Where clients' widths differ, all train the narrowest client's
model: FedAvg knows no other way to include everybody. ``weights="equal"`` lets all clients count the same, whatever
they hold: what one-shot papers (DENSE, Co-Boosting) call FedAvg.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds, waves_of_one_shot
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

PAPER = "McMahan et al., AISTATS 2017"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    weights: str = choice("sizes", "equal", later=True)


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    task = at_smallest_width(task)
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        if config.weights == "equal":
            server = average_round(task, server, client_updates(task, server, t), t, equal=True)
        if task.scored(t):
            yield Snapshot(
                t,
                predictor(federated_model(task, t) if config.weights == "sizes" else server, task),
            )


def stages(task: Task, config: Config) -> Waves:
    task = at_smallest_width(task)
    return waves_of_all_rounds(task) if config.weights == "sizes" else waves_of_one_shot(task)


def at_smallest_width(task: Task) -> Task:
    return replace(
        task, base_width=math.ceil(min(task.widths, default=1) * task.base_width), widths=()
    )
