"""FedProx: clients train under a pull towards the model they received, the server takes the
weighted mean.

Li et al., Federated Optimization in Heterogeneous Networks, MLSys 2020, arXiv:1812.06127,
Algorithm 2.

Differs from the paper and its code:
- All clients that take part in a round do the same local work: no stragglers with less of it.
- Clients weigh n_k. The paper draws them with probability n_k / n and takes their plain mean.
- mu is 0.01 for all data, the constant of the Mosaic study. The paper tunes it per data set in
  {0.001, 0.01, 0.1, 1}.
- The pull is on parameters alone. BatchNorm's running statistics are averaged with the weights, as
  in FedAvg.
- Where widths differ it is FedRolex with the pull, towards the sub-model that the client received.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot
from mosaic.fl.data.federation import Shard
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss

PAPER = "Li et al., MLSys 2020"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedProx."""

    mu: float = 0.01  # weight of the pull; 0 is FedAvg exactly


SPACE = {"mu": (1e-3, 1.0)}
TUNED = ("mu",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedProx and yield the server's model of each scored round."""
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        clients = client_updates(task, server, t, loss_of=partial(pulled, mu=config.mu))
        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def pulled(shard: Shard, received: State, mu: float) -> Loss:
    """The loss of a client, given the model that it received."""
    return partial(proximal, anchor=received, mu=mu)


def proximal(model: nn.Module, images: Tensor, labels: Tensor, anchor: State, mu: float) -> Tensor:
    """Cross entropy plus mu/2 ||w - anchor||^2 over all parameters w.

    Args:
        model: the client's network, with parameters w.
        images: a batch (B, C, H, W).
        labels: (B,).
        anchor: the model that the client received in this round.
        mu: weight of the pull.
    """
    squares = [(w - anchor[name]).square().sum() for name, w in model.named_parameters()]
    distance = sum(squares, start=torch.zeros((), device=images.device))
    return cross_entropy(model, images, labels) + mu / 2 * distance
