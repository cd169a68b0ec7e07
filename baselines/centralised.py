"""Centralised: all data pooled at the server. The ceiling of every comparison.

One model takes as many steps a round as all clients together; where they train for epochs, as many epochs, which are
the same steps however the data are split. What crosses the network is the raw data, once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot
from mosaic.fl.data.federation import open_federation
from mosaic.fl.independent import pooled_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import n_steps

PAPER = ""
PROTOCOL = "none"
NEEDS = ("raw data",)


@dataclass(frozen=True)
class Config:
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    federation = open_federation(task)
    for shard in federation.shards:
        upload([shard.images[shard.indices], shard.labels[shard.indices]], "data")
    steps = n_steps(task, sum(federation.sizes)) if task.epochs else task.steps * task.n_clients
    for t in filter(task.scored, range(1, task.rounds + 1)):
        yield Snapshot(t, predictor(pooled_model(task.without_clients(), t, steps), task))
