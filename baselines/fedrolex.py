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
- The window rolls forwards by one channel per round, as in the paper's text; with ``task.roll``
  "turn", which few rounds need, once around in all rounds.
- By default no logits are masked, and all clients count in the classifier's rows of all classes.
  The code has HeteroFL's masked cross entropy (``mask="zero"``), and a client counts only in the
  rows of classes that it has (``rows="own"``).
- BatchNorm follows the task's policy, as for all methods here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mosaic.fl.absent_classes import counted, local_loss
from mosaic.fl.aggregation import average_parts
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import participants
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.submodel import cut, rolling_window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

PAPER = "Alam et al., NeurIPS 2022"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedRolex: the two parts that its code has for unlike labels."""

    # of logits of classes that a client lacks, in its local training; the code: zero
    mask: str = choice("none", "zero", later=True)
    # of the classifier, which a client's model counts in; the code: own
    rows: str = choice("all", "own", later=True)


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedRolex and yield the server's model of each scored round.

    With the default settings ``one_round`` is what the cached stage ``federated_model`` computes,
    to the bit. Other methods start from its models too, so it is computed once for all.
    """
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        if config != Config():
            server = one_round(task, config, server, t)
        elif task.scored(t):
            server = federated_model(task, t)

        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def one_round(task: Task, config: Config, server: State, t: int) -> State:
    """Round ``t`` of Algorithm 1, from the server's model before it to the one after it."""
    shards = participants(task, t)
    parts = []
    for shard in shards:
        # (1) The client downloads its sub-model, whose window moves in each round.
        channels = rolling_window(task, shard.width, t)
        received = download(cut(server, task.layout, channels))

        # (2) It trains the sub-model on its own data and uploads it.
        loss = local_loss(shard, config.mask)
        trained = train(received, shard, task, round=t, width=shard.width, loss=loss)
        parts.append(counted(upload(trained), shard, task, channels, config.rows))

    # (3) Each coordinate is averaged over the clients that hold it (Eq. 3); others keep their
    # value.
    return average_parts(server, parts, [shard.size for shard in shards], task.layout)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task) if config == Config() else []
