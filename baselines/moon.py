"""MOON: a client's features are drawn towards those of the server's model, and away from those of
its own last model.

Li et al., Model-Contrastive Federated Learning, CVPR 2021, arXiv:2103.16257, Algorithm 1. With z,
z_g and z_p the features of an image by the model in training, the model received and the client's
model of its last round, a client's loss is its cross entropy plus mu times

    - log exp(sim(z, z_g) / tau) / (exp(sim(z, z_g) / tau) + exp(sim(z, z_p) / tau)),

sim the cosine. Clients keep their last model; nothing more is sent than in FedAvg.

Differs from the paper and its code:
- z are the features that the classifier reads. The paper's networks have a projection head of two
  layers between; here all methods have the same network.
- A client that has no last model trains as in FedAvg, as if z_p were z_g, where the term is
  constant. In the code it is pushed away from a random model.
- mu is 5, of the code's CIFAR-10 command. The paper tunes it in {0.1, 1, 5, 10} per data set.
- SGD is the task's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.data.federation import Shard
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_updates, participants
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.sgd import Loss

PAPER = "Li et al., CVPR 2021"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of MOON."""

    mu: float = 5.0  # weight of the contrast; 0 is FedAvg; the code's for CIFAR-10
    tau: float = 0.5  # temperature of the contrast; the paper's


SPACE = {"mu": (0.1, 10.0), "tau": (0.1, 1.0)}
TUNED = ("mu", "tau")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of MOON and yield the server's model of each scored round.

    Raises:
        Skip: clients' widths differ.
    """
    if not task.full_width:
        raise Skip(
            "MOON compares a client's features with those of other models: "
            "all clients must be of width 1"
        )

    server = federated_model(task, 0)
    last: dict[int, State] = {}  # by client, its model of the last round in which it took part
    for t in range(1, task.rounds + 1):
        loss_of = partial(contrasted, task=task, config=config, last=dict(last))
        clients = list(client_updates(task, server, t, loss_of=loss_of))
        for shard, model in zip(participants(task, t), clients, strict=True):
            last[shard.client] = model

        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def contrasted(
    shard: Shard, received: State, task: Task, config: Config, last: dict[int, State]
) -> Loss:
    """The loss of a client: plain cross entropy in the first round in which it takes part."""
    if shard.client not in last:
        return cross_entropy
    return partial(
        contrastive,
        received=frozen_network(received, task.spec, task.batch_norm),
        last=frozen_network(last[shard.client], task.spec, task.batch_norm),
        config=config,
    )


def contrastive(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    received: nn.Module,
    last: nn.Module,
    config: Config,
) -> Tensor:
    """Cross entropy plus mu times the contrast of features.

    Args:
        model: the client's network, with a function ``features`` and a layer ``linear``.
        images: a batch (B, C, H, W).
        labels: (B,).
        received: the frozen network that the client received in this round.
        last: the client's frozen network of its last round.
        config: gives mu and tau.
    """
    network: Any = model
    z = network.features(images).float()
    logits = network.linear(z).float()
    with torch.no_grad():
        others = [other.features(images).float() for other in (received, last)]  # pyright: ignore
    similarities = [F.cosine_similarity(z, other) for other in others]

    # The contrast is the cross entropy of the choice between the two models
    choices = torch.stack(similarities, 1) / config.tau
    contrast = -choices.log_softmax(1)[:, 0].mean()
    return F.cross_entropy(logits, labels) + config.mu * contrast
