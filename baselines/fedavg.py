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

from mosaic.fl.stages import Waves, average_round, of_all_rounds, of_an_only_round, updates, warm_up
from mosaic.fl.task import Snapshot, Task, choice
from mosaic.fl.training.sgd import predictor

PAPER = "McMahan et al., AISTATS 2017"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    weights: str = choice("sizes", "equal", later=True)


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    task = at_smallest_width(task)
    server = warm_up(task, 0)
    for t in range(1, task.rounds + 1):
        if config.weights == "equal":
            server = average_round(task, server, updates(task, server, t), t, equal=True)
        if task.scored(t):
            yield Snapshot(t, predictor(warm_up(task, t) if config.weights == "sizes" else server, task))


def stages(task: Task, config: Config) -> Waves:
    task = at_smallest_width(task)
    return of_all_rounds(task) if config.weights == "sizes" else of_an_only_round(task)


def at_smallest_width(task: Task) -> Task:
    return replace(task, base_width=math.ceil(min(task.widths, default=1) * task.base_width), widths=())
