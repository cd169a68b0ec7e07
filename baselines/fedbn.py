"""FedBN: clients share everything but BatchNorm, whose parameters and statistics stay with each of
them.

Li et al., FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, ICLR 2021,
arXiv:2102.07623, Algorithm 1. Only what is shared crosses the network.

There is no global model. The result is the mean over the clients' personal models of their accuracy
on the full test set, as for ``local``. The paper tests each client on data like its own, and its
clients differ in their features. Under label skew the test here is unfavourable to FedBN: a client
is tested on classes whose statistics its own BatchNorm has never seen.

Differs from the paper and its code:
- Shared tensors weigh n_k; the code's weigh 1 (the paper's data sets are of equal size). Rounds
  have the task's number of steps.
- A client keeps its BatchNorm from round to round, as in the paper. In the Mosaic study's code it
  starts again in each round.
- What is tested follows the task's BatchNorm policy, as for all methods: with batch statistics only
  the personal scales and shifts are in use.
- Where widths differ, a client holds the first channels of every layer (as in HeteroFL), so that
  its BatchNorm always belongs to the same channels. Its personal model is of its width.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from torch import nn

from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import Window, cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

PAPER = "Li et al., ICLR 2021"
PROTOCOL = "every round"
NEEDS = ()
STUDENT = ("", "clients' own")


@dataclass(frozen=True)
class Config:
    """FedBN has no settings of its own."""


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedBN and yield all clients' personal models of each scored round."""
    private = batch_norms(task.spec)
    if not private:
        raise Skip(f"clients keep their BatchNorm, and the model {task.model} has no BatchNorm")
    channels = [window(task.spec_at(task.width(i))) for i in range(task.n_clients)]
    start = federated_model(task, 0)
    shared = only(start, start.keys() - private)
    norms = [cut(only(start, private), task.layout, of_client) for of_client in channels]
    for t in range(1, task.rounds + 1):
        shared, norms = one_round(task, shared, norms, channels, t)
        if task.scored(t):
            predictors = []
            for client in range(task.n_clients):
                personal = cut(shared, task.layout, channels[client]) | norms[client]
                predictors.append(predictor(personal, task, task.width(client)))
            yield Snapshot(t, predictors)


def one_round(
    task: Task, shared: State, norms: list[State], channels: list[Window], t: int
) -> tuple[State, list[State]]:
    """Round ``t`` of Algorithm 1.

    Args:
        task: the federated problem.
        shared: the server's model without BatchNorm.
        norms: each client's BatchNorm tensors, of its width.
        channels: each client's channels.
        t: the round, from 1 on.

    Returns:
        ``shared`` and ``norms`` after the round.
    """
    shards = participants(task, t)
    new_norms = list(norms)

    def clients() -> Iterator[tuple[State, Window]]:
        for shard in shards:
            # (1) The client joins what it downloads with its own BatchNorm, and trains it.
            own_channels = channels[shard.client]
            received = download(cut(shared, task.layout, own_channels))
            model = received | norms[shard.client]
            model = train(model, shard, task, round=t, width=shard.width)

            # (2) It keeps its BatchNorm and uploads the rest.
            new_norms[shard.client] = only(model, norms[shard.client])
            yield upload(only(model, shared)), own_channels

    # (3) The server averages what is shared.
    sizes = [shard.size for shard in shards]
    return average_parts(shared, clients(), sizes, task.layout), new_norms


def batch_norms(spec: Spec) -> set[str]:
    """The names of BatchNorm's parameters and running statistics."""
    network = live_network(spec, "meta")
    layers = network.network.named_modules()
    of_norms = {name for name, layer in layers if isinstance(layer, nn.BatchNorm2d)}
    return {name for name in network.state if name.rpartition(".")[0] in of_norms}


def only(state: State, names: Container[str]) -> State:
    """The tensors of ``state`` whose names are among ``names``."""
    return {name: tensor for name, tensor in state.items() if name in names}
