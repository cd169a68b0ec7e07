"""FedRS: a client's softmax is restricted, so that the classes it lacks are pushed away less in its
local training.

Li and Zhan, FedRS: Federated Learning with Restricted Softmax for Label Distribution Non-IID Data,
KDD 2021. A client multiplies its logits of the classes it lacks by alpha. Nothing about its labels
leaves it.

Differs from the paper and its code:
- ``scaling="missing"`` is the text: alpha for a class without a sample, 1 for any other. The code's
  factor is alpha + (1 - alpha) n_c / max n, below 1 also where a class is only rare:
  ``scaling="share"``. One of the code's two copies applies it again at each step; this is not
  followed.
- The classifier has a bias, which is scaled with the rest of the logit. The authors' has none.
- SGD is the task's, without the code's clipped gradients.
- alpha is 0.5, the paper's stronger setting; its tables have 0.9 too.
- Where widths differ it is FedRolex with the restricted softmax.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.data.federation import Shard
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss

PAPER = "Li and Zhan, KDD 2021"
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Settings of FedRS."""

    alpha: float = 0.5  # factor of a missing class's logit; 1 is FedAvg exactly
    scaling: str = choice("missing", "share")  # the paper's text, its code


SPACE = {"alpha": (0.1, 1.0)}
TUNED = ("alpha",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedRS and yield the server's model of each scored round."""
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        clients = client_updates(task, server, t, loss_of=partial(restricted, config=config))
        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def restricted(shard: Shard, received: State, config: Config) -> Loss:
    """The loss of a client, given its number of samples per class."""
    scales = factors(shard.label_counts, config).to(device())
    return partial(restricted_cross_entropy, factors=scales)


def factors(label_counts: Tensor, config: Config) -> Tensor:
    """The factors (K,) of a client's logits, from its number of samples per class (K,)."""
    if config.scaling == "missing":
        presence = (label_counts > 0).float()
    else:
        presence = (label_counts / label_counts.max()).float()
    return torch.lerp(torch.tensor(config.alpha), torch.tensor(1.0), presence)


def restricted_cross_entropy(
    model: nn.Module, images: Tensor, labels: Tensor, factors: Tensor
) -> Tensor:
    """Cross entropy of a batch (B, C, H, W) with labels (B,), of logits times ``factors`` (K,)."""
    return F.cross_entropy(model(images).float() * factors, labels)
