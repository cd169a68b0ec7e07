"""Centralised: all data pooled at the server. The ceiling of every comparison.

One model takes as many steps per round as all clients together. Where clients train for epochs, it
trains for as many epochs, which are the same steps however the data are split. Where only some
clients take part in a round it still trains on the data of all, for the steps of all: it is then
the ceiling of methods that compute less. What crosses the network is the raw data, once.
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
    """Pooled training has no settings of its own."""


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train one model on all clients' data and yield it after each scored round's steps."""
    federation = open_federation(task)
    for shard in federation.shards:
        upload([shard.images[shard.indices], shard.labels[shard.indices]], "data")

    n = sum(federation.sizes)
    steps = n_steps(task, n) if task.epochs else task.steps * task.n_clients
    for t in range(1, task.rounds + 1):
        if task.scored(t):
            # Cached: SGD on the pool, ``steps`` times in each of t rounds
            model = pooled_model(task.without_clients(), t, steps)
            yield Snapshot(t, predictor(model, task))
