"""SCAFFOLD: control variates correct each client's gradient by what all clients' gradients were last.

Karimireddy et al., SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML 2020, arXiv:1910.06378,
Algorithm 1 with option II.

Differs from the paper and its code:
- Every client takes part in every round, and the server's learning rate is 1, as in the paper's experiments.
- Clients weigh n_k, as in FedAvg; the paper's weigh 1. The server's control variate is the mean of the clients' with
  the same weights, so that at equal steps the corrections cancel in the average; a plain mean's would leave a rest.
- The correction is a linear term of the loss, <c - c_i, w>: its gradient is exactly c - c_i at every step.
- Weight decay is part of the gradient that the control variates estimate.
- (x - y_i) / (K lr) is the mean gradient for plain SGD only. With the task's momentum m it is up to 1 / (1 - m) times
  that, and option II is inexact; the paper has no momentum.
- BatchNorm's running statistics have no gradient and so no control variate: they are averaged as in FedAvg.
- Clients upload their new control variates, not the differences: as many bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.fl.aggregation import average
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_updates, participants
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss, n_steps

PAPER = "Karimireddy et al., ICML 2020"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    if not task.full_width:
        raise Skip(
            "SCAFFOLD's control variates are those of the whole model: all clients must be of width 1"
        )
    server = federated_model(task, 0)
    c = no_controls(task, server)
    own = [c] * task.n_clients
    for t in range(1, task.rounds + 1):
        server, c, own = one_round(task, server, c, own, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def no_controls(task: Task, server: State) -> State:
    """Control variates of zero: one for each parameter, none for BatchNorm's running statistics."""
    trainable = live_network(task.spec, "meta").network.named_parameters()
    return {name: torch.zeros_like(server[name]) for name, _ in trainable}


def one_round(
    task: Task, server: State, c: State, own: list[State], t: int
) -> tuple[State, State, list[State]]:
    """Round ``t``: the server's model and control variate, and each client's control variate, after it."""
    renewed = list(own)

    def clients() -> Iterator[State]:
        trained = client_updates(task, server, t, loss_of=partial(correct, c=c, own=own))
        for shard, model in zip(participants(task, t), trained, strict=True):
            path = n_steps(task, shard.size) * task.lr  # K eta
            mine = own[shard.client]
            fresh = {name: mine[name] - c[name] + (server[name] - model[name]) / path for name in c}
            renewed[shard.client] = upload(fresh, "controls")
            yield model

    server = average_round(task, server, clients(), t)
    return server, average(renewed, open_federation(task).sizes), renewed


def correct(shard: Shard, received: State, c: State, own: list[State]) -> Loss:
    """The loss of a client that received the server's control variate ``c`` beside the model."""
    mine, c = own[shard.client], download(c, "controls")
    return partial(corrected, correction={name: c[name] - mine[name] for name in c})


def corrected(model: nn.Module, images: Tensor, labels: Tensor, correction: State) -> Tensor:
    """Cross entropy of a batch (B, C, H, W) with labels (B,), whose gradient is shifted by ``correction``."""
    shift = sum((correction[name] * w).sum() for name, w in model.named_parameters())
    return cross_entropy(model, images, labels) + shift
