"""FedAvg: clients train the server's model on their own data, the server takes the weighted mean.

McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data,
AISTATS 2017, arXiv:1602.05629, Algorithm 1:

    for each round t = 1 .. T:
        for each participating client k:  w_k = SGD from w on the data of client k
        w = sum_k n_k w_k / sum_k n_k

``fedavg`` below is this loop. A version with the SGD steps on screen too, in plain PyTorch, is
``examples/fedavg_plain.py``.

Differs from the paper:
- BatchNorm's running statistics are averaged with the weights. FedBN leaves them at the clients.
- Where clients' widths differ, all clients train the widest network of which no layer is wider than
  the narrowest client's: FedAvg has no other way to include all of them.
- ``weights="equal"`` is the plain mean, whatever the clients' sample counts. One-shot papers
  (DENSE, Co-Boosting) call this FedAvg.
- ``local`` multiplies the local work, so that FedAvg can be compared with methods that compute more
  than it at the same number of rounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.models.registry import channel_groups, full_channels, share_of
from mosaic.fl.models.spec import Spec
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds, waves_of_one_shot
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

PAPER = "McMahan et al., AISTATS 2017"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedAvg."""

    weights: str = choice("sizes", "equal")  # a client's weight: n_k, or 1
    local: int = 1  # local steps or epochs per round, as a multiple of the task's


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedAvg and yield the server's model of each scored round."""
    task = with_local_work(at_smallest_width(task), config.local)
    if config.weights == "equal":
        yield from fedavg(task, equal=True)
        return

    # The same as ``fedavg(task, equal=False)``, to the bit. Distillation methods start from these
    # models too, so the cached stage ``federated_model`` runs the loop once for all methods.
    for t in range(1, task.rounds + 1):
        if task.scored(t):
            yield Snapshot(t, predictor(federated_model(task, t), task))


def fedavg(task: Task, equal: bool) -> Iterator[Snapshot]:
    """Algorithm 1, round by round.

    Args:
        task: the federated problem; all clients train the same network.
        equal: whether clients weigh 1 in the mean instead of n_k, their number of samples.
    """
    server = federated_model(task, 0)  # the initial model
    for t in range(1, task.rounds + 1):
        # Each participating client downloads the server's model, trains it on its own data by the
        # task's number of SGD steps, and uploads the result.
        clients = client_updates(task, server, t)

        # The server takes the weighted mean of what it receives.
        server = average_round(task, server, clients, t, equal=equal)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    task = with_local_work(at_smallest_width(task), config.local)
    if config.weights == "equal":
        return waves_of_one_shot(task)
    return waves_of_all_rounds(task)


def at_smallest_width(task: Task) -> Task:
    """The task with a network of the narrowest client's width for all clients and the server."""
    width = min(task.widths, default=1.0)
    base = share_of(task.base_width, width)
    # A sub-model rounds each of its layers up, so that rounding the first one up may be too much
    while base > 1 and not _fits(replace(task.spec, base_width=base), task.spec, width):
        base -= 1
    return replace(task, base_width=base, widths=())


def _fits(spec: Spec, whole: Spec, width: float) -> bool:
    """Whether no layer has more channels than in the sub-model of a width."""
    for group in channel_groups(spec.model):
        if full_channels(spec, group) > share_of(full_channels(whole, group), width):
            return False
    return True


def with_local_work(task: Task, factor: int) -> Task:
    """The task with ``factor`` times as many local steps or epochs per round."""
    return replace(task, steps=factor * task.steps, epochs=factor * task.epochs)
