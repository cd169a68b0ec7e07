"""HeteroFL: each client trains the first channels of every layer, as many as its width allows.

Diao et al., HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous Clients, ICLR 2021,
arXiv:2010.01264, Algorithm 1. Narrow clients' models nest in the wide ones'; outer channels are seen by wide clients
alone. At full width it is FedAvg to the bit.

Differs from the paper and its code:
- Clients weigh n_k instead of 1; every client takes part in every round and keeps its width.
- No logits are masked by default, as for all methods here; ``mask="zero"`` is the paper's masked cross entropy. Every
  client counts in all classes' rows of the classifier; in the code only in those of classes it has.
- BatchNorm follows the task's policy. The code measures its statistics on the whole pooled training set.
- No scaler: BatchNorm right behind it takes any factor out.
- SGD is the task's, without the code's clipped gradients and falling learning rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.data.federation import Shard
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import Window, cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss, train

PAPER = "Diao et al., ICLR 2021"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    mask: str = choice(
        "none", "zero"
    )  # of logits of absent classes in local training; the paper: zero


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        server = one_round(task, config, server, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def one_round(task: Task, config: Config, server: State, t: int) -> State:
    """Round ``t``: the server's model, each coordinate averaged over the clients that hold it."""
    shards, parts = participants(task, t), task.layout

    def clients() -> Iterator[tuple[State, Window]]:
        for shard in shards:
            held = window(task.spec_at(shard.width))  # the same in each round
            received, loss = download(cut(server, parts, held)), loss_of(shard, config)
            yield (
                upload(
                    train(
                        received,
                        shard,
                        task,
                        round=t,
                        width=shard.width,
                        loss=loss,
                    )
                ),
                held,
            )

    return average_parts(server, clients(), [shard.size for shard in shards], parts)


def loss_of(shard: Shard, config: Config) -> Loss:
    """The loss of a client with these samples a class."""
    if config.mask == "none":
        return cross_entropy
    return partial(masked_cross_entropy, absent=(shard.label_counts == 0).to(device()))


def masked_cross_entropy(
    model: nn.Module, images: Tensor, labels: Tensor, absent: Tensor
) -> Tensor:
    """Cross entropy of a batch (B, C, H, W) with labels (B,), with 0 for the logits of ``absent`` classes (K,)."""
    return F.cross_entropy(model(images).float().masked_fill(absent, 0.0), labels)
