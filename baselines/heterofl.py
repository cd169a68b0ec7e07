"""HeteroFL: each client trains the first channels of every layer, as many as its width allows.

Diao et al., HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous
Clients, ICLR 2021, arXiv:2010.01264, Algorithm 1. Narrow clients' models are nested in the wide
ones'. Only wide clients train the outer channels. A client's cross entropy has logits of 0 for
classes that it lacks. As in the code, the client counts only in the classifier's rows of classes
that it has. At full width, without these two (``mask="none"``, ``rows="all"``), it is FedAvg to the
bit.

Differs from the paper and its code:
- Clients weigh n_k instead of 1, and keep their width in all rounds.
- BatchNorm follows the task's policy. The code measures its statistics on the whole pooled training
  set.
- No scaler: the BatchNorm layer right behind it would cancel any factor.
- SGD is the task's, without the code's clipped gradients and falling learning rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.absent_classes import counted, local_loss
from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import Window, cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

PAPER = "Diao et al., ICLR 2021"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of HeteroFL."""

    mask: str = choice("zero", "none")  # of logits of classes that a client lacks; the paper's
    rows: str = choice("own", "all")  # of the classifier, that a client counts in; the code's


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of HeteroFL and yield the server's model of each scored round."""
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        server = one_round(task, config, server, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def one_round(task: Task, config: Config, server: State, t: int) -> State:
    """Round ``t`` of Algorithm 1, from the server's model before it to the one after it."""
    shards = participants(task, t)

    def clients() -> Iterator[tuple[State, Window]]:
        for shard in shards:
            # (1) The client downloads its sub-model: the same first channels in each round.
            channels = window(task.spec_at(shard.width))
            received = download(cut(server, task.layout, channels))

            # (2) It trains the sub-model on its own data and uploads it.
            loss = local_loss(shard, config.mask)
            trained = train(received, shard, task, round=t, width=shard.width, loss=loss)
            yield counted(upload(trained), shard, task, channels, config.rows)

    # (3) Each coordinate is averaged over the clients that hold it.
    return average_parts(server, clients(), [shard.size for shard in shards], task.layout)
