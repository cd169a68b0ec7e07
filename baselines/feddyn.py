"""FedDyn: each client's loss is corrected by what it has moved in earlier rounds, so that the
clients' optima agree with the server's.

Acar et al., Federated Learning Based on Dynamic Regularization, ICLR 2021, arXiv:2111.04263,
Algorithm 1, in the form of the authors' code: with w the model that a client receives and h_k the
sum of its moves so far,

    client k:  w_k = argmin f_k(v) + a_k <h_k, v> + a_k / 2 ||v - w||^2,   h_k = h_k + w_k - w
    server:    w = mean of the round's w_k + mean of all clients' h_k

so that - a_k h_k is the gradient of f_k at w_k where the minimum is reached. A client that takes
no part keeps its h_k. Clients send nothing but their models: the server adds up the moves itself.

Differs from the paper and its code:
- a_k is alpha times the mean number of samples over n_k, as in the code, which makes the plain
  means above those of FedAvg's objective. The paper's clients have equal weights and one alpha.
- alpha is 0.01, the code's. The paper tunes it in {0.1, 0.01, 0.001}.
- The minimum is approached by the task's number of SGD steps with the task's recipe. The code clips
  gradients to a norm of 10 and lets the learning rate fall from round to round.
- The result is the model that clients receive next. The code reports the mean of the round's models
  too, without the second term.
- BatchNorm's running statistics have no gradient: they are averaged with the plain mean. The
  authors' networks have no BatchNorm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.fl.aggregation import average
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_updates, participants
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss

PAPER = "Acar et al., ICLR 2021"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedDyn."""

    alpha: float = 0.01  # strength of the correction of a client of mean size; the code's


SPACE = {"alpha": (1e-3, 1.0)}
TUNED = ("alpha",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedDyn and yield the server's model of each scored round.

    Raises:
        Skip: clients' widths differ.
    """
    if not task.full_width:
        raise Skip(
            "FedDyn adds up each client's moves of the whole model: all clients must be of width 1"
        )

    server = federated_model(task, 0)
    moved = [no_moves(task, server)] * task.n_clients
    for t in range(1, task.rounds + 1):
        server, moved = one_round(task, server, moved, config.alpha, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def no_moves(task: Task, server: State) -> State:
    """h_k before the first round: 0 for each parameter, none for BatchNorm's running statistics."""
    trainable = live_network(task.spec, "meta").network.named_parameters()
    return {name: torch.zeros_like(server[name]) for name, _ in trainable}


def one_round(
    task: Task, server: State, moved: list[State], alpha: float, t: int
) -> tuple[State, list[State]]:
    """Round ``t`` of Algorithm 1.

    Args:
        task: the federated problem.
        server: the server's model w.
        moved: all clients' h_k, in the clients' order.
        alpha: strength of the correction.
        t: the round, from 1 on.

    Returns:
        ``server`` and ``moved`` after the round.
    """
    new_moved = list(moved)

    def clients() -> Iterator[State]:
        # (1) Each client trains with its correction; its move is added to its earlier ones.
        loss_of = partial(corrected, task=task, moved=moved, alpha=alpha)
        trained = client_updates(task, server, t, loss_of=loss_of)
        for shard, model in zip(participants(task, t), trained, strict=True):
            old = moved[shard.client]
            new_moved[shard.client] = {name: old[name] + model[name] - server[name] for name in old}
            yield model

    # (2) The server adds the mean of all clients' moves to the mean of the round's models.
    mean = average_round(task, server, clients(), t, equal=True)
    shift = average(new_moved, [1.0] * task.n_clients)
    new_server = {name: mean[name] + shift[name] for name in shift}
    return mean | new_server, new_moved


def corrected(shard: Shard, received: State, task: Task, moved: list[State], alpha: float) -> Loss:
    """The loss of a client, whose strength a_k depends on its number of samples."""
    sizes = open_federation(task).sizes
    strength = alpha * sum(sizes) / len(sizes) / shard.size
    return partial(regularised, anchor=received, moved=moved[shard.client], strength=strength)


def regularised(
    model: nn.Module, images: Tensor, labels: Tensor, anchor: State, moved: State, strength: float
) -> Tensor:
    """Cross entropy plus a <h, v> + a / 2 ||v - w||^2, over all parameters v.

    Args:
        model: the client's network, with parameters v.
        images: a batch (B, C, H, W).
        labels: (B,).
        anchor: w, the model that the client received in this round.
        moved: h, the sum of the client's moves so far.
        strength: a > 0.
    """
    terms = [
        (moved[name] * v).sum() + (v - anchor[name]).square().sum() / 2
        for name, v in model.named_parameters()
    ]
    penalty = sum(terms, start=torch.zeros((), device=images.device))
    return cross_entropy(model, images, labels) + strength * penalty
