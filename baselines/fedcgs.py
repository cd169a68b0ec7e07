"""FedCGS: sums over the clients' features give a classifier in closed form, which replaces that of
FedAvg's last model. On FedAvg's features.

Guan et al., Capture Global Feature Statistics for One-Shot Federated Learning, AAAI 2025. After the
rounds each client sends three sums over its features f: of f by class, of f f^T, and the number of
samples by class. With mu_c and pi_c the mean and the frequency of class c, and S the covariance of
all features, the server's head is that of Gaussian classes with one covariance,

    logit_c = mu_c^T S^-1 f - mu_c^T S^-1 mu_c / 2 + log pi_c.

Nothing is trained. The sums are exact, whatever the partition, and can be added up under
encryption: the server needs none of a single client.

Differs from the paper and its code:
- The features are those of FedAvg's last model (FedRolex's where widths differ), which the clients
  have trained. The paper's are of a network that is trained on ImageNet, and nothing is trained.
- S is the covariance around the mean of all samples, as in the code, not around the classes' means.
- S^-1 is the pseudo-inverse: a feature that is constant does not count. The code's inverse does not
  exist then. ``ridge`` is added to the diagonal; 0 is the code's.
- A class that nobody has gets a logit of -10,000: it is never predicted.
- Sums are sent in float64, the code's, those of f f^T as their upper triangle. The code's sum of f
  over all classes is not sent: it is the sum over classes.
- Every client sends sums, also where only some take part in a round, and computes features by the
  whole model, whatever its width.
- Features are taken with running BatchNorm statistics. Where widths differ the model is tested with
  those of a batch, as all are: the head then reads features of another kind (docs/decisions.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot
from mosaic.fl.heads import features_of_clients, with_head
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

PAPER = "Guan et al., AAAI 2025"
PROTOCOL = "once, after the rounds"
NEEDS = ("label counts", "feature statistics")
STUDENT = ("average", "kept")

LOWEST = -1e4
"""The logit of a class that no client has: finite, so that means of logits stay so."""


@dataclass(frozen=True)
class Config:
    """Settings of FedCGS."""

    ridge: float = 0.0  # added to the covariance's diagonal; the code's


SPACE = {"ridge": (0.0, 1.0)}
TUNED = ("ridge",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Replace the head of FedAvg's last model; one snapshot."""
    # (1) Each client sends its sums, and the server adds them up.
    counts: list[Tensor] = []
    sums: list[Tensor] = []
    squares: list[Tensor] = []
    for shard, features, labels in features_of_clients(task):
        own = upload(sums_of(features, labels, task.source.n_classes), "statistics")
        counts.append(upload(shard.label_counts, "counts").to(features.device))
        sums.append(own["sums"])
        squares.append(own["squares"])
    totals = [torch.stack(of_clients).sum(0) for of_clients in (counts, sums, squares)]

    # (2) The head in closed form.
    weight, bias = gaussian_head(*totals, ridge=config.ridge)
    server = federated_model(task, task.rounds)
    probes = {"before": predictor(server, task)}
    yield Snapshot(task.rounds, predictor(with_head(server, weight, bias), task), probes=probes)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)


def sums_of(features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """One client's sums over its features (n, F) with labels (n,), in float64.

    Returns:
        ``sums`` of f by class (K, F), and ``squares``, the upper triangle of the sum of f f^T, with
        F (F + 1) / 2 values.
    """
    features = features.double()
    # A product, because index_add_ adds in any order on a GPU
    sums = F.one_hot(labels, n_classes).T.to(features) @ features
    squares = features.T @ features
    return {"sums": sums, "squares": squares[triangle(len(squares), squares.device)]}


def triangle(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns of the upper triangle of a square matrix, with its diagonal."""
    rows, columns = torch.triu_indices(size, size, device=device)
    return rows, columns


def gaussian_head(
    counts: Tensor, sums: Tensor, squares: Tensor, ridge: float
) -> tuple[Tensor, Tensor]:
    """The head in closed form.

    Args:
        counts: number of all clients' samples per class (K,).
        sums: of their features by class (K, F).
        squares: upper triangle of the sum of f f^T.
        ridge: what is added to the covariance's diagonal.

    Returns:
        Weights (K, F) and biases (K,), in float64.
    """
    n_features = sums.shape[1]
    n = counts.sum()
    upper = sums.new_zeros(n_features, n_features)
    upper[triangle(n_features, sums.device)] = squares
    second = upper + upper.T - upper.diag().diag()
    mean = sums.sum(0) / n
    covariance = (second - n * torch.outer(mean, mean)) / (n - 1).clamp_min(1)
    covariance += ridge * torch.eye(n_features, dtype=sums.dtype, device=sums.device)

    means = sums / counts.clamp_min(1)[:, None]
    weight = means @ torch.linalg.pinv(covariance, rtol=1e-10, hermitian=True)
    frequencies = counts.double() / n
    bias = frequencies.log().clamp_min(LOWEST) - (weight * means).sum(1) / 2
    return weight, bias
