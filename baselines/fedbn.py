"""FedBN: clients share everything but BatchNorm, whose parameters and statistics stay with each of them.

Li et al., FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, ICLR 2021, arXiv:2102.07623,
Algorithm 1. Only what is shared crosses the network.

There is no global model: the result is the mean over the clients' personal models of their accuracy on the full test
set, as for ``local``. The paper tests each client on data like its own, where the clients' features differ. Under label
skew that is unfavourable: a client is asked for classes whose statistics its own BatchNorm never saw.

Differs from the paper and its code:
- Shared tensors weigh n_k; the code's weigh 1 (the paper's data sets are of equal size). Rounds have the task's steps.
- A client keeps its BatchNorm from round to round, as in the paper; in the Mosaic study's code it starts
  anew each round.
- What is tested follows the task's BatchNorm policy as for all methods: on batch statistics only the personal scales
  and shifts are in use.
- Where widths differ, a client holds the static prefix of the channels (HeteroFL's), so that its BatchNorm always
  belongs to the same ones; its personal model is of its width.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from torch import nn

from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Snapshot
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
    pass


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    parts, private = task.layout, batch_norms(task.spec)
    held = [window(task.spec_at(task.width(i))) for i in range(task.n_clients)]
    start = federated_model(task, 0)
    shared = only(start, start.keys() - private)
    own = [cut(only(start, private), parts, mine) for mine in held]
    for t in range(1, task.rounds + 1):
        shared, own = one_round(task, shared, own, held, t)
        if task.scored(t):
            personal = [
                cut(shared, parts, mine) | norms for mine, norms in zip(held, own, strict=True)
            ]
            yield Snapshot(
                t, [predictor(model, task, task.width(i)) for i, model in enumerate(personal)]
            )


def one_round(
    task: Task, shared: State, own: list[State], held: list[Window], t: int
) -> tuple[State, list[State]]:
    """Round ``t``: what the server shares and what each client keeps, after local training."""
    shards, parts, norms = participants(task, t), task.layout, list(own)

    def clients() -> Iterator[tuple[State, Window]]:
        for shard in shards:
            mine = held[shard.client]
            model = download(cut(shared, parts, mine)) | own[shard.client]
            model = train(model, shard, task, round=t, width=shard.width)
            norms[shard.client] = only(model, own[shard.client])
            yield upload(only(model, shared)), mine

    return average_parts(shared, clients(), [shard.size for shard in shards], parts), norms


def batch_norms(spec: Spec) -> set[str]:
    """The names of BatchNorm's parameters and running statistics."""
    layers = live_network(spec, "meta").network.named_modules()
    of_norms = {name for name, layer in layers if isinstance(layer, nn.BatchNorm2d)}
    return {
        name for name in live_network(spec, "meta").state if name.rpartition(".")[0] in of_norms
    }


def only(state: State, names: Container[str]) -> State:
    return {name: tensor for name, tensor in state.items() if name in names}
