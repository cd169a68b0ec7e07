"""Images that the server sends to all clients, and which of them each client adds to its own.

Each client receives the whole set once and counts it as downloaded. What it adds is decided by a
rule from what the client knows: its own label counts and the set's labels. Local training then
takes its batches from both; it is not longer for that.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.channel import download
from mosaic.fl.data.federation import Shard
from mosaic.fl.rng import stream
from mosaic.fl.task import Task


@dataclass(frozen=True, eq=False)
class SharedImages:
    """A set of labelled images that every client receives.

    Attributes:
        images: uint8 (M, C, S, S).
        labels: classes (M,), int64; or probabilities of the classes (M, K), float32.
    """

    images: Tensor
    labels: Tensor

    @property
    def classes(self) -> Tensor:
        """The class of each image, the most likely one, on the CPU (M,)."""
        classes = self.labels if self.labels.dim() == 1 else self.labels.argmax(1)
        return classes.cpu()


Rule = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""``rule(label_counts, classes, rng)``: the shared images that a client adds to its own, as
positions that may repeat, from its samples per class (K,) and the images' classes (M,)."""


def mixed_shards(
    task: Task, shards: Sequence[Shard], shared: SharedImages, rule: Rule, *names: int | str
) -> list[Shard]:
    """Send a set to clients; each adds to its own images those that the rule says.

    Args:
        task: Gives the seed.
        shards: The clients' data.
        shared: What is sent to each of them.
        rule: Which images a client adds.
        *names: With the task's seed and the client's number they fix the rule's random numbers.

    Returns:
        The clients' data with the added images. A client that adds nothing keeps its shard.
    """
    own_labels = shards[0].labels
    if shared.labels.dim() == 2:
        own_labels = F.one_hot(own_labels, shared.labels.shape[1]).to(shared.labels.dtype)
    first = len(own_labels)
    images = torch.cat([shards[0].images, shared.images])  # one pool for all clients
    labels = torch.cat([own_labels, shared.labels])
    classes = shared.classes

    mixed = []
    for shard in shards:
        download([shared.images, shared.labels], "images")
        rng = stream(task.seed, "shared images", shard.client, *names)
        added = rule(shard.label_counts, classes, rng)
        counts = classes[added].bincount(minlength=len(shard.label_counts))
        mixed.append(with_added(shard, images, labels, first + added, counts))
    return mixed


def with_added(
    shard: Shard, images: Tensor, labels: Tensor, added: Tensor, counts: Tensor
) -> Shard:
    """A client's data with more images; the shard itself if there are none.

    Args:
        shard: The client's data.
        images: A pool (N + M, C, S, S) that begins with the shard's own (N, C, S, S).
        labels: The pool's labels.
        added: Positions in the pool of the images that are added.
        counts: How many of them are of each class (K,), on the CPU.
    """
    if len(added) == 0:
        return shard
    return replace(
        shard,
        images=images,
        labels=labels,
        indices=torch.cat([shard.indices, added.to(shard.indices.device)]),
        label_counts=shard.label_counts + counts,
    )


def lacking(label_counts: Tensor, rare: float) -> Tensor:
    """Which classes (K,) a client lacks, from its samples per class (K,).

    Args:
        label_counts: The client's samples per class.
        rare: A class is lacking if it has at most this share of the samples of the largest class,
            and fewer than that one. With 0 it has none at all, with 1 all but the largest are
            lacking.
    """
    most = label_counts.max()
    return (label_counts <= rare * most) & (label_counts < most)


def complement(
    label_counts: Tensor, classes: Tensor, rng: torch.Generator, rare: float = 0.0
) -> Tensor:
    """A rule: each class that the client lacks is filled up to the size of its largest class.

    A client that lacks no class adds nothing. See :func:`lacking` for ``rare``.
    """
    most = int(label_counts.max())
    added = [torch.empty(0, dtype=torch.long)]
    for label in lacking(label_counts, rare).nonzero().flatten().tolist():
        of_class = (classes == label).nonzero().flatten()
        missing = most - int(label_counts[label])
        added.append(_evenly(of_class, missing, rng))
    return torch.cat(added)


def half(label_counts: Tensor, classes: Tensor, rng: torch.Generator, rare: float = 0.0) -> Tensor:
    """A rule: as many images as the client has of its own, if it lacks a class, of all classes."""
    if not lacking(label_counts, rare).any():
        return torch.empty(0, dtype=torch.long)
    return _evenly(torch.arange(len(classes)), int(label_counts.sum()), rng)


def everything(label_counts: Tensor, classes: Tensor, rng: torch.Generator) -> Tensor:
    """A rule: each client adds the whole set, each image once."""
    return torch.arange(len(classes))


def class_balanced(classes: Tensor, per_class: int, n_classes: int) -> Tensor:
    """The positions of the first ``per_class`` images of each class, or of all that there are.

    Args:
        classes: The class of each image (M,).
        per_class: How many images of a class are taken, at most.
        n_classes: K.

    Returns:
        Positions in [0, M), ascending.
    """
    found = [(classes == label).nonzero().flatten()[:per_class] for label in range(n_classes)]
    return torch.cat(found).sort().values


def _evenly(positions: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """``n`` of the positions in random order, each as often as any other to within one."""
    if len(positions) == 0:
        return positions
    passes = math.ceil(n / len(positions))
    order = [torch.randperm(len(positions), generator=rng) for _ in range(passes)]
    return positions[torch.cat([torch.empty(0, dtype=torch.long), *order])[:n]]
