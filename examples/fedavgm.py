"""FedAvgM: the server moves towards FedAvg's average with momentum.

Hsu et al., Measuring the Effects of Non-Identical Data Distribution, 2019, arXiv:1909.06335,
section 4.3.

Run it beside FedAvg: python -m benchmarks.run --methods fedavg,examples/fedavgm.py
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic import fl

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


def run(task: fl.Task, config: Config) -> Iterator[fl.Snapshot]:
    """Yield the server's model after each scored round."""
    if not task.full_width:
        raise fl.Skip("it averages whole models only")

    server = fl.initial_model(task.spec, task.seed)
    momentum = {name: 0 * weight for name, weight in server.items()}

    for t in range(1, task.rounds + 1):
        shards = fl.participants(task, t)  # all clients, or a share: task.participation
        clients = []
        for shard in shards:
            received = fl.download(server)
            clients.append(fl.upload(fl.train(received, shard, task, round=t)))

        mean = fl.average(clients, weights=[shard.size for shard in shards])
        new_server = {}
        for name in server:
            momentum[name] = config.beta * momentum[name] + mean[name] - server[name]
            new_server[name] = server[name] + momentum[name]
            # BatchNorm's running statistics are averages, not weights: they take no momentum
            if "running" in name:
                new_server[name] = mean[name]
        server = new_server

        if task.scored(t):
            yield fl.Snapshot(t, fl.predictor(server, task))
