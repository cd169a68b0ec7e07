"""FedPFT: each client sends a small Gaussian mixture of the features of each of its classes; what
the mixtures draw trains the classifier of FedAvg's last model again. On FedAvg's features.

Beitollahi et al., Parametric Feature Transfer: One-shot Federated Learning with Foundation Models,
2024, arXiv:2402.01862. After the rounds a client fits a mixture of 10 Gaussians with diagonal
covariances to its features of a class, and sends their shares, means and variances, and the number
of its samples. The server draws as many features from each mixture.

Differs from the paper and from a port of it (Yuqin-G/FedCGS), whose numbers are the defaults:
- The features are those of FedAvg's last model (FedRolex's where widths differ), which the clients
  have trained. The paper's are of a foundation model, and nothing but the head is trained.
- The head starts as FedAvg's. The port's is new.
- A class with no more than 10 samples at a client has one Gaussian. The port leaves it out.
- A fit stops by scikit-learn's defaults, after 100 iterations at most; in the port after 10,000.
- Every client sends mixtures, also where only some take part in a round, and computes features by
  the whole model, whatever its width.
- Features are taken with running BatchNorm statistics. Where widths differ the model is tested with
  those of a batch, as all are: the head then reads features of another kind (docs/decisions.md).
- Shares, means and variances are sent in float16, as in the port.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot
from mosaic.fl.heads import features_of_clients, retrained
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import shuffled_batches

PAPER = "Beitollahi et al., 2024 (arXiv 2402.01862)"
PROTOCOL = "once, after the rounds"
NEEDS = ("label counts", "feature statistics")
STUDENT = ("average", "kept")

Mixture = dict[str, Tensor]
"""A client's features of one class: ``label`` and ``count`` (scalars), and of k Gaussians the
``shares`` (k,), ``means`` (k, F) and ``variances`` (k, F)."""


@dataclass(frozen=True)
class Config:
    """Settings of FedPFT. The head's steps cost next to nothing, so no scale cuts them."""

    mixtures: int = 10  # Gaussians per client and class
    epochs: int = 50  # over all drawn features
    batch: int = 128
    lr: float = 0.01  # SGD, momentum 0.9


SPACE = {"lr": (1e-4, 1e-1)}
TUNED = ("lr",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train the head of FedAvg's last model on what the clients' mixtures draw; one snapshot."""
    # (1) Each client sends a mixture per class, once.
    mixtures: list[Mixture] = []
    for _, features, labels in features_of_clients(task):
        mixtures += upload(mixtures_of(features, labels, config.mixtures), "statistics")

    # (2) The server draws features from them, and trains the head.
    rng = stream(task.seed, "lessons")
    features = torch.cat([drawn_from_mixture(mixture, rng) for mixture in mixtures])
    labels = torch.cat([mixture["label"].expand(int(mixture["count"])) for mixture in mixtures])
    steps = config.epochs * math.ceil(len(labels) / config.batch)
    batches = shuffled_batches(features, labels, config.batch, steps, rng)

    server = federated_model(task, task.rounds)
    sgd = partial(torch.optim.SGD, lr=config.lr, momentum=0.9)
    student = retrained(server, batches, sgd)
    probes = {"before": predictor(server, task)}
    yield Snapshot(task.rounds, predictor(student, task), probes=probes)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)


def mixtures_of(features: Tensor, labels: Tensor, k: int) -> list[Mixture]:
    """A mixture for each class of one client's features (n, F) with labels (n,)."""
    return [fitted(features[labels == c], c, k) for c in labels.unique()]


def fitted(members: Tensor, label: Tensor, k: int) -> Mixture:
    """The mixture of k Gaussians that is fitted to features (n, F) of one class; one for n <= k."""
    # One thread: the order of sums, and so the last bits, must not depend on the machine
    with threadpool_limits(1), warnings.catch_warnings():
        # A mixture is as good as it is after the last iteration, or has fewer distinct points
        warnings.simplefilter("ignore", ConvergenceWarning)
        n_components = k if len(members) > k else 1
        gaussians = GaussianMixture(n_components, covariance_type="diag", random_state=0)
        points = members.double().cpu().numpy()
        if len(points) == 1:
            points = points.repeat(2, 0)  # scikit-learn takes no fewer than two
        gaussians.fit(points)

    half = partial(torch.as_tensor, dtype=torch.float16, device=members.device)
    return {
        "label": label,
        "count": torch.tensor(len(members)),
        "shares": half(gaussians.weights_),
        "means": half(gaussians.means_),
        "variances": half(gaussians.covariances_),
    }


def drawn_from_mixture(mixture: Mixture, rng: torch.Generator) -> Tensor:
    """As many features (n, F) as the mixture was fitted to."""
    shares = mixture["shares"].float().cpu()
    drawn = torch.multinomial(shares, int(mixture["count"]), replacement=True, generator=rng)
    noise = torch.randn(len(drawn), mixture["means"].shape[1], generator=rng)
    device = mixture["means"].device
    drawn = drawn.to(device)
    deviations = mixture["variances"].float().sqrt()
    return mixture["means"].float()[drawn] + deviations[drawn] * noise.to(device)
