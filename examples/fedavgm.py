"""FedAvgM: the server moves towards FedAvg's average with momentum.

Hsu et al., Measuring the Effects of Non-Identical Data Distribution, 2019, arXiv:1909.06335,
section 4.3.

Run it beside FedAvg: python -m benchmarks.run --methods fedavg,examples/fedavgm.py
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.aggregation import average
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

PAPER = "Hsu et al., 2019 (arXiv 1909.06335)"
PROTOCOL = "every round"
NEEDS = ()  # clients send nothing but their models


@dataclass(frozen=True)
class Config:
    """Settings of FedAvgM.

    Args:
        beta: momentum in [0, 1); 0 is FedAvg exactly.
    """

    beta: float = 0.9


SPACE = {"beta": (0.0, 0.99)}  # what a tuner may try


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Yield the server's model after each scored round."""
    if not task.full_width:
        raise Skip("it averages whole models only")

    federation = open_federation(task)
    server = initial_model(task.spec, task.seed)
    momentum = {name: 0 * weight for name, weight in server.items()}

    for t in range(1, task.rounds + 1):
        clients = []
        for shard in federation.shards:
            received = download(server)
            clients.append(upload(train(received, shard, task, round=t)))

        mean = average(clients, weights=federation.sizes)
        new_server = {}
        for name in server:
            momentum[name] = config.beta * momentum[name] + mean[name] - server[name]
            new_server[name] = server[name] + momentum[name]
            # BatchNorm's running statistics are averages, not weights: they take no momentum
            if "running" in name:
                new_server[name] = mean[name]
        server = new_server

        if task.scored(t):
            yield Snapshot(t, predictor(server, task))
