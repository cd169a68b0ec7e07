"""CCVR: Gaussians of the clients' features, one per class, draw the data on which the classifier of
FedAvg's last model is trained again. On FedAvg's features.

Luo et al., No Fear of Heterogeneity: Classifier Calibration for Federated Learning with Non-IID
Data, NeurIPS 2021, arXiv:2106.05001, Algorithm 1. After the rounds each client sends for each of
its classes the number of samples and the mean and covariance of their features. The server
computes from them the mean and covariance of all clients' samples of the class, exactly: by

    N mu = sum_k n_k mu_k,   (N - 1) S = sum_k (n_k - 1) S_k + sum_k n_k (mu_k - mu)(mu_k - mu)^T.

Differs from the paper:
- The head is trained from FedAvg's by SGD for 10 epochs of batches of 64, lr 0.001, momentum 0.9:
  the numbers of a port, smduan/Fed-CCVR, as are 2,000 virtual features per class, M. The paper's
  could not be read.
- Class c has M K N_c / N virtual features of K classes: as frequent as in the clients' data.
- The paper's extra transformation of features (Tukey's) is left out.
- Every client sends statistics, also where only some take part in a round, and computes features by
  the whole model, whatever its width. Where widths differ the model is FedRolex's.
- Features are taken with running BatchNorm statistics. Where widths differ the model is tested with
  those of a batch, as all are: the head then reads features of another kind (docs/decisions.md).
- Statistics are sent in float32, covariances as their upper triangle. Sums are in float64.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot
from mosaic.fl.heads import features_of_clients, retrained
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import shuffled_batches

PAPER = "Luo et al., NeurIPS 2021"
PROTOCOL = "once, after the rounds"
NEEDS = ("label counts", "feature statistics")
STUDENT = ("average", "kept")

Statistics = dict[str, Tensor]
"""A client's classes, ``labels`` (C,), and of the features of each: ``counts`` (C,), ``means``
(C, F), and the upper triangles of their covariances, ``covariances`` (C, F (F + 1) / 2)."""


@dataclass(frozen=True)
class Config:
    """Settings of CCVR. The head's steps cost next to nothing, so no scale cuts them."""

    virtual: int = 2_000  # M, virtual features per class, on average over the classes
    epochs: int = 10  # over all virtual features
    batch: int = 64
    lr: float = 1e-3  # SGD, momentum 0.9


SPACE = {"lr": (1e-4, 1e-1)}
TUNED = ("lr",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train the head of FedAvg's last model on virtual features; one snapshot."""
    # (1) Each client sends the statistics of its classes, once.
    clients = [
        upload(statistics_of(features, labels), "statistics")
        for _, features, labels in features_of_clients(task)
    ]

    # (2) The server draws features by the statistics of all clients' samples.
    rng = stream(task.seed, "lessons")
    features, labels = virtual_features(clients, config.virtual, task.source.n_classes, rng)

    # (3) It trains the head on them.
    server = federated_model(task, task.rounds)
    steps = config.epochs * math.ceil(len(labels) / config.batch)
    batches = shuffled_batches(features, labels, config.batch, steps, rng)
    sgd = partial(torch.optim.SGD, lr=config.lr, momentum=0.9)
    calibrated = retrained(server, batches, sgd)
    probes = {"before": predictor(server, task)}
    yield Snapshot(task.rounds, predictor(calibrated, task), probes=probes)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)


def statistics_of(features: Tensor, labels: Tensor) -> Statistics:
    """The statistics of one client's features (n, F) with labels (n,)."""
    classes, counts = labels.unique(return_counts=True)
    means, covariances = [], []
    for c in classes:
        members = features[labels == c].double()
        mean = members.mean(0)
        centred = members - mean
        covariance = centred.T @ centred / max(1, len(members) - 1)  # 0 for a single sample
        means.append(mean)
        covariances.append(covariance[upper_triangle(covariance)])
    return {
        "labels": classes,
        "counts": counts,
        "means": torch.stack(means).float(),
        "covariances": torch.stack(covariances).float(),
    }


def upper_triangle(square: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and columns of the upper triangle of a matrix (F, F), with its diagonal."""
    rows, columns = torch.triu_indices(*square.shape, device=square.device)
    return rows, columns


def class_gaussian(clients: list[Statistics], c: int) -> tuple[int, Tensor, Tensor]:
    """The number of all clients' samples of class ``c``, and their mean (F,) and covariance (F, F).

    The mean and the covariance are those of the samples together. A class that no client has gets
    0, and both are 0.
    """
    n_features = clients[0]["means"].shape[1]
    zero = clients[0]["means"].new_zeros(n_features, dtype=torch.float64)
    total, weighted = 0, zero
    for n, mean_of_client, _ in _of_class(clients, c):
        total += n
        weighted = weighted + n * mean_of_client
    mean = weighted / max(1, total)

    scatter = zero.new_zeros(n_features, n_features)
    for n, mean_of_client, upper in _of_class(clients, c):
        off = mean_of_client - mean
        scatter += (n - 1) * _symmetric(upper, n_features) + n * torch.outer(off, off)
    return total, mean, scatter / max(1, total - 1)


def _of_class(clients: list[Statistics], c: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of each client that has class ``c``: the number of its samples, their mean (F,), and the
    upper triangle of their covariance, in float64."""
    for client in clients:
        for i in (client["labels"] == c).nonzero().flatten().tolist():  # one position, or none
            mean, upper = client["means"][i], client["covariances"][i]
            yield int(client["counts"][i]), mean.double(), upper.double()


def _symmetric(upper: Tensor, size: int) -> Tensor:
    """The symmetric matrix (F, F) of an upper triangle."""
    square = upper.new_zeros(size, size)
    square[upper_triangle(square)] = upper
    return square + square.T - square.diag().diag()


def virtual_features(
    clients: list[Statistics], per_class: int, n_classes: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Features drawn from each class's Gaussian, as many as the class is frequent.

    Args:
        clients: all clients' statistics.
        per_class: how many features a class gets, on average over the classes.
        n_classes: K.
        rng: source of the draws.

    Returns:
        Features (n, F) and labels (n,), with n near K ``per_class``.
    """
    gaussians = [class_gaussian(clients, c) for c in range(n_classes)]
    total = sum(n for n, _, _ in gaussians)
    drawn, labels = [], []
    for c, (n, mean, covariance) in enumerate(gaussians):
        n_drawn = round(per_class * n_classes * n / total)
        noise = torch.randn(n_drawn, len(mean), generator=rng, dtype=torch.float64).to(mean.device)
        drawn.append(mean + noise @ root_of(covariance))
        labels += [c] * n_drawn
    return torch.cat(drawn).float(), torch.tensor(labels, device=drawn[0].device)


def root_of(covariance: Tensor) -> Tensor:
    """The symmetric square root (F, F) of a covariance, which may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T
