"""Mosaic, part 2: what each client says about its classes, once.

For each client and class the k-means centres of its penultimate features; their mean where it has fewer than k
samples of the class. arXiv 2505.19699, phase 1, and BASELINES of the authors' code (k = 10).

Differs from the authors' code: features come from the server model after the last warm-up round, in one pass over all
of a client's samples, not from 41 successive models over ten batches each; each prototype carries the number of
samples it stands for. Narrow clients embed with the full server model too: one inference pass, no training. In the
one-shot protocol, where no server model comes back, each client embeds with its own.
"""

import warnings

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
"""``features`` (P, F), ``labels`` (P,) and ``weights`` (P,): the samples that each prototype stands for."""


@stage(version=2)
def client_prototypes(task: Task, k: int, protocol: str) -> list[Prototypes]:
    """Each client's prototypes, uploaded."""
    return [
        upload(prototypes_of(embedded(task, shard, protocol), shard, k), "prototypes")
        for shard in open_federation(task).shards
    ]


def embedded(task: Task, shard: Shard, protocol: str) -> Tensor:
    """The features (n, F) of a client's samples: by the server model, which travels to it, or one-shot by its own.

    A narrow model's features stand at the channels that it holds; the others are 0.
    """
    images = shard.images[shard.indices]
    if protocol == "rounds":
        return features(download(federated_model(task, task.rounds)), task, images)
    own = features(independent_client_model(task, shard.client), task, images, width=shard.width)
    last = channel_groups(task.model)[
        -1
    ]  # whose channels are features, in the networks that have narrower versions
    held = client_windows(task, 0)[shard.client][last]
    if held is None:
        return own
    wide = own.new_zeros(len(own), full_channels(task.spec, last))
    wide[:, held.to(own.device)] = own
    return wide


def prototypes_of(embedded: Tensor, shard: Shard, k: int) -> Prototypes:
    """The prototypes of one client from its samples' features (n, F)."""
    labels = shard.labels[shard.indices]
    centres, sizes, classes = [], [], []
    for c in shard.classes.tolist():
        own, assigned = embedded[labels == c], None
        if k > 1 and len(own) >= k:
            assigned = cluster(own, k)
        for cluster_index in [None] if assigned is None else range(k):
            members = own if cluster_index is None else own[assigned == cluster_index]
            if len(members):
                centres.append(members.mean(0))
                sizes.append(len(members))
                classes.append(c)
    device = embedded.device
    return {
        "features": torch.stack(centres),
        "labels": torch.tensor(classes, device=device),
        "weights": torch.tensor(sizes, dtype=torch.float32, device=device),
    }


def cluster(points: Tensor, k: int) -> Tensor:
    """The k-means cluster (n,) of each point (n, F)."""
    with (
        threadpool_limits(1, "openmp"),
        warnings.catch_warnings(),
    ):  # one thread: the order of sums is fixed
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # fewer distinct points than k: the empty clusters go
        found = KMeans(k, n_init=1, random_state=0).fit_predict(points.cpu().numpy())
    return torch.from_numpy(found).to(points.device)
