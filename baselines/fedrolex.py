"""FedRolex: each client trains a sub-model of its width, cut by a window that rolls over the
server's channels.

Alam et al., FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model Extraction,
NeurIPS 2022, arXiv:2212.01548, Algorithm 1:

    for each round t = 1 .. T:
        for each participating client k:
            w_k = SGD from w[window of client k in round t] on the data of client k
        each coordinate of w = its mean over the clients whose window covers it

``one_round`` below is this loop. As in the code, a client's cross entropy has logits of 0 for
classes that it lacks (HeteroFL's mask), and the client counts only in the classifier's rows of
classes that it has.

The rounds that other methods start from at mixed widths are ``mask="none"``, ``rows="all"``: in few
rounds of very unlike clients the two parts cost more than they gain (docs/decisions.md). At width 1
every window is the whole model, and FedRolex without the two parts is FedAvg; with them it is
HeteroFL.

Differs from the paper and its code:
- Clients weigh n_k instead of 1.
- A client keeps its width in all rounds.
- The window goes once around in all rounds. In the paper it rolls by one channel per round, for
  thousands of rounds (``task.roll``).
- BatchNorm follows the task's policy, as for all methods here.
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
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.submodel import Window, cut, rolling_window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

PAPER = "Alam et al., NeurIPS 2022"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedRolex: the two parts that its code has for unlike labels."""

    mask: str = choice("zero", "none")  # of logits of classes that a client lacks; the code's
    rows: str = choice("own", "all")  # of the classifier, that a client counts in; the code's


SPACE = {}

WITHOUT_PARTS = Config(mask="none", rows="all")
"""FedRolex as the rounds that other methods start from."""


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedRolex and yield the server's model of each scored round.

    Without the two parts ``one_round`` is what the cached stage ``federated_model`` computes, to
    the bit. Other methods start from its models too, so it is computed once for all.
    """
    rounds = range(1, task.rounds + 1)
    if config == WITHOUT_PARTS:
        for t in filter(task.scored, rounds):
            yield Snapshot(t, predictor(federated_model(task, t), task))
        return

    server = federated_model(task, 0)
    for t in rounds:
        server = one_round(task, config, server, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def one_round(task: Task, config: Config, server: State, t: int) -> State:
    """Round ``t`` of Algorithm 1, from the server's model before it to the one after it."""
    shards = participants(task, t)

    def clients() -> Iterator[tuple[State, Window]]:
        for shard in shards:
            # (1) The client downloads its sub-model, whose window moves in each round.
            channels = rolling_window(task, shard.width, t)
            received = download(cut(server, task.layout, channels))

            # (2) It trains the sub-model on its own data and uploads it.
            loss = local_loss(shard, config.mask)
            trained = train(received, shard, task, round=t, width=shard.width, loss=loss)
            yield counted(upload(trained), shard, task, channels, config.rows)

    # (3) Each coordinate is averaged over the clients that hold it (Eq. 3); others keep their
    # value.
    return average_parts(server, clients(), [shard.size for shard in shards], task.layout)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task) if config == WITHOUT_PARTS else []
