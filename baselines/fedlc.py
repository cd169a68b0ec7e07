"""FedLC: a client's logits are lowered where its class is rare, so that its local training does not
push rare and missing classes away.

Zhang et al., Federated Learning with Label Distribution Skew via Logits Calibration, ICML 2022,
arXiv:2209.00189. A client trains with the cross entropy of f_c - tau n_c^(-1/4), where n_c is its
number of samples of class c. Nothing about its labels leaves it.

Differs from the paper and from ports of it:
- The softmax is over all classes, as in the port of FL-bench. The paper's sum leaves out the class
  of the sample itself; the loss then has no lower bound, and the port's authors report that it
  diverges.
- A class without a sample has an infinite margin: its logit is left out, and its row of the
  classifier takes no gradient. The port counts 1e-8 samples, a margin of 100 tau.
- tau is 1, the port's; it is for tuning.
- Where widths differ it is FedRolex with the calibrated softmax.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot
from mosaic.fl.data.federation import Shard
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss

PAPER = "Zhang et al., ICML 2022"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedLC."""

    tau: float = 1.0  # scale of the margins; near 0 only missing classes are left out


SPACE = {"tau": (0.1, 10.0)}
TUNED = ("tau",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedLC and yield the server's model of each scored round."""
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        clients = client_updates(task, server, t, loss_of=partial(calibrated, tau=config.tau))
        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def calibrated(shard: Shard, received: State, tau: float) -> Loss:
    """The loss of a client, given its number of samples per class."""
    return partial(calibrated_cross_entropy, margins=margins(shard.label_counts, tau).to(device()))


def margins(label_counts: Tensor, tau: float) -> Tensor:
    """tau n_c^(-1/4) (K,), infinite for a class without a sample, from the counts n (K,)."""
    found = tau * label_counts.clamp_min(1).float() ** -0.25
    return found.masked_fill(label_counts == 0, float("inf"))


def calibrated_cross_entropy(
    model: nn.Module, images: Tensor, labels: Tensor, margins: Tensor
) -> Tensor:
    """Cross entropy of a batch (B, C, H, W) with labels (B,), of logits minus ``margins`` (K,)."""
    return F.cross_entropy(model(images).float() - margins, labels)
