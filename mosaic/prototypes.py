"""Mosaic, part 2: each client condenses each of its classes to a few prototypes, once.

For each client and class they are the k-means centres of its penultimate features, or their mean
where the client has fewer than k samples of the class. arXiv 2505.19699, phase 1, and BASELINES of
the authors' code (k = 10).

Differs from the authors' code:
- Features come from the server's model after the last warm-up round, in one pass over all of a
  client's samples. The code takes them from 41 successive models, over ten batches each.
- Each prototype carries the number of samples in its cluster.
- Narrow clients compute features with the full server model too: one inference pass, no training.
- In the one-shot protocol, in which no server model is sent back, each client uses its own model.
"""

import warnings
from dataclasses import replace
from functools import partial

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

from mosaic.fl.cache import stage
from mosaic.fl.channel import download, upload
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.independent import independent_client_model
from mosaic.fl.models.registry import channel_groups, full_channels
from mosaic.fl.rounds import client_windows
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import features

Prototypes = dict[str, Tensor]
"""P prototypes: ``features`` (P, F), ``labels`` (P,), and ``weights`` (P,), their cluster sizes."""


@stage(version=3)
def client_prototypes(task: Task, k: int, protocol: str, norm: str) -> list[Prototypes]:
    """All clients' prototypes, uploaded.

    Args:
        task: the federated problem.
        k: prototypes per client and class.
        protocol: "rounds" or "oneshot".
        norm: the BatchNorm statistics: "average" for the model's running ones, "task" for the
            task's policy, which may be those of a batch of up to 512 images of the client.

    Returns:
        One set of prototypes per client.
    """
    prototypes = []
    for shard in open_federation(task).shards:
        of_client = prototypes_of(embedded(task, shard, protocol, norm), shard, k)
        prototypes.append(upload(of_client, "prototypes"))
    return prototypes


def joined(prototypes: list[Prototypes]) -> Prototypes:
    """All clients' prototypes as one set."""
    names = ("features", "labels", "weights")
    return {name: torch.cat([of_client[name] for of_client in prototypes]) for name in names}


def embedded(task: Task, shard: Shard, protocol: str, norm: str) -> Tensor:
    """The features of a client's samples.

    Args:
        task: the federated problem.
        shard: the client's data.
        protocol: "rounds" (features of the server's model, which the client downloads) or "oneshot"
            (features of its own model).
        norm: as in :func:`client_prototypes`.

    Returns:
        Features (n, F) of the server's width. The features of a narrow model are at the channels
        that it has; the others are 0.
    """
    images = shard.images[shard.indices]
    with_norm = replace(task, batch_norm="average") if norm == "average" else task
    embed = partial(features, task=with_norm, images=images)
    if protocol == "rounds":
        return embed(download(federated_model(task, task.rounds)))

    model = independent_client_model(task, shard.client)
    own_features = embed(model, width=shard.width)

    # The last group of channels are the features, in the networks that have narrower versions
    last = channel_groups(task.model)[-1]
    channels = client_windows(task, 0)[shard.client][last]
    if channels is None:
        return own_features
    wide = own_features.new_zeros(len(own_features), full_channels(task.spec, last))
    wide[:, channels.to(wide.device)] = own_features
    return wide


def prototypes_of(embedded: Tensor, shard: Shard, k: int) -> Prototypes:
    """The prototypes of one client.

    Args:
        embedded: the features (n, F) of its samples.
        shard: the client's data.
        k: prototypes per class.
    """
    labels = shard.labels[shard.indices]
    centres: list[Tensor] = []
    sizes: list[int] = []
    classes: list[int] = []
    for c in shard.classes.tolist():
        for members in clusters_of(embedded[labels == c], k):
            centres.append(members.mean(0))
            sizes.append(len(members))
            classes.append(c)

    device = embedded.device
    return {
        "features": torch.stack(centres),
        "labels": torch.tensor(classes, device=device),
        "weights": torch.tensor(sizes, dtype=torch.float32, device=device),
    }


def clusters_of(points: Tensor, k: int) -> list[Tensor]:
    """The points (n, F) of each of k clusters that is not empty; one cluster for fewer than k
    points."""
    if k <= 1 or len(points) < k:
        return [points]
    assigned = cluster(points, k)
    clusters = [points[assigned == i] for i in range(k)]
    return [members for members in clusters if len(members) > 0]


def cluster(points: Tensor, k: int) -> Tensor:
    """The k-means cluster (n,) of each point (n, F)."""
    # One thread: the order of sums, and so the last bits, must not depend on the machine
    with threadpool_limits(1, "openmp"), warnings.catch_warnings():
        # Fewer distinct points than k leave clusters empty, which is no problem here
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans = KMeans(k, n_init=1, random_state=0)  # pyright: ignore[reportArgumentType]
        assigned = kmeans.fit_predict(points.cpu().numpy())
    return torch.from_numpy(assigned).to(points.device)
