"""FedRolex: each client trains a sub-model of its width, cut by a window that rolls over the
server's channels.

Alam et al., FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model Extraction,
NeurIPS 2022, arXiv:2212.01548, Algorithm 1:

    for each round t = 1 .. T:
        for each participating client k:
            w_k = SGD from w[window of client k in round t] on the data of client k
        each coordinate of w = its mean over the clients whose window covers it

``one_round`` below is this loop. At width 1 every window is the whole model, and FedRolex is
FedAvg.

Differs from the paper and its code:
- Clients weigh n_k instead of 1, so that FedRolex at width 1 is FedAvg.
- A client keeps its width in all rounds.
- The window rolls forwards by one channel per round, as in the paper's text.
- All clients update the classifier's rows of all classes, and their loss masks no class.
- BatchNorm follows the task's policy, as for all methods here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Snapshot
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import participants
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.submodel import cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

PAPER = "Alam et al., NeurIPS 2022"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """FedRolex has no settings of its own."""


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedRolex and yield the server's model of each scored round.

    The model of round t is ``one_round`` applied t times to the initial model, to the bit. Other
    methods start from these models too, so the cached stage ``federated_model`` computes them once.
    """
    for t in range(1, task.rounds + 1):
        if task.scored(t):
            yield Snapshot(t, predictor(federated_model(task, t), task))


def one_round(task: Task, server: State, t: int) -> State:
    """Round ``t`` of Algorithm 1, from the server's model before it to the one after it."""
    shards = participants(task, t)
    parts = []
    for shard in shards:
        # (1) The client downloads its sub-model; in round t its window begins at channel t.
        channels = window(task.spec_at(shard.width), shift=t)
        received = download(cut(server, task.layout, channels))

        # (2) It trains the sub-model on its own data and uploads it.
        trained = upload(train(received, shard, task, round=t, width=shard.width))
        parts.append((trained, channels))

    # (3) Each coordinate is averaged over the clients that hold it (Eq. 3); others keep their
    # value.
    return average_parts(server, parts, [shard.size for shard in shards], task.layout)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)
