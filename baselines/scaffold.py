"""SCAFFOLD: control variates correct each client's gradient by what all clients' gradients were
last.

Karimireddy et al., SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML 2020,
arXiv:1910.06378, Algorithm 1 with option II.

Differs from the paper and its code:
- The server's learning rate is 1, as in the paper's experiments.
- Clients weigh n_k, as in FedAvg; the paper's weigh 1. The server's control variate is the mean of
  all clients' with the same weights, so that with equal steps the corrections cancel in the
  average. With a plain mean they would not.
- The correction is a linear term of the loss, <c - c_i, w>: its gradient is exactly c - c_i in
  every step.
- Weight decay is part of the gradient that the control variates estimate.
- (x - y_i) / (K lr) is the mean gradient for plain SGD only. With the task's momentum m it is up to
  1 / (1 - m) times the mean gradient, and option II is inexact. The paper has no momentum.
- BatchNorm's running statistics have no gradient and so no control variate: they are averaged as in
  FedAvg.
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
    """SCAFFOLD has no settings of its own."""


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of SCAFFOLD and yield the server's model of each scored round.

    Raises:
        Skip: clients' widths differ.
    """
    if not task.full_width:
        raise Skip(
            "SCAFFOLD's control variates are those of the whole model: "
            "all clients must be of width 1"
        )

    server = federated_model(task, 0)
    control = no_controls(task, server)
    client_controls = [control] * task.n_clients
    for t in range(1, task.rounds + 1):
        server, control, client_controls = one_round(task, server, control, client_controls, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def no_controls(task: Task, server: State) -> State:
    """Control variates of 0: one per parameter, none for BatchNorm's running statistics."""
    trainable = live_network(task.spec, "meta").network.named_parameters()
    return {name: torch.zeros_like(server[name]) for name, _ in trainable}


def one_round(
    task: Task, server: State, control: State, client_controls: list[State], t: int
) -> tuple[State, State, list[State]]:
    """Round ``t`` of Algorithm 1.

    Args:
        task: the federated problem.
        server: the server's model x.
        control: the server's control variate c.
        client_controls: all clients' control variates c_i, in the clients' order.
        t: the round, from 1 on.

    Returns:
        The three after the round. Clients that do not take part keep their control variates.
    """
    new_controls = list(client_controls)

    def clients() -> Iterator[State]:
        # (1) Each client trains with corrected gradients, from x to y_i.
        loss_of = partial(correct, control=control, client_controls=client_controls)
        trained = client_updates(task, server, t, loss_of=loss_of)
        for shard, model in zip(participants(task, t), trained, strict=True):
            # (2) Option II: c_i becomes c_i - c + (x - y_i) / (K lr).
            path = n_steps(task, shard.size) * task.lr
            old = client_controls[shard.client]
            new = {
                name: old[name] - control[name] + (server[name] - model[name]) / path
                for name in control
            }
            new_controls[shard.client] = upload(new, "controls")
            yield model

    # (3) The server averages models and control variates.
    server = average_round(task, server, clients(), t)
    return server, average(new_controls, open_federation(task).sizes), new_controls


def correct(shard: Shard, received: State, control: State, client_controls: list[State]) -> Loss:
    """The loss of a client, which downloads the server's control variate beside the model."""
    received_control = download(control, "controls")
    own = client_controls[shard.client]
    correction = {name: c - own[name] for name, c in received_control.items()}
    return partial(corrected, correction=correction)


def corrected(model: nn.Module, images: Tensor, labels: Tensor, correction: State) -> Tensor:
    """Cross entropy plus <correction, w>, whose gradient is the cross entropy's plus
    ``correction``.

    Args:
        model: the client's network, with parameters w.
        images: a batch (B, C, H, W).
        labels: (B,).
        correction: c - c_i, one tensor per parameter.
    """
    terms = [(correction[name] * w).sum() for name, w in model.named_parameters()]
    shift = sum(terms, start=torch.zeros((), device=images.device))
    return cross_entropy(model, images, labels) + shift
