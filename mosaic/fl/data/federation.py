"""The clients of a task and their shards: views into one pool, which is in memory once."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic.fl.data.loading import load
from mosaic.fl.data.partition import Partition, partition
from mosaic.fl.data.splits import split_validation
from mosaic.fl.device import device
from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream
from mosaic.fl.task import Task


@dataclass(frozen=True, eq=False)
class Shard:
    """Client ``client``'s data: ``indices`` (n,) into the pool's uint8 images (N, C, H, W) and labels (N,)."""

    client: int
    width: float
    images: Tensor
    labels: Tensor
    indices: Tensor
    label_counts: Tensor  # (K,)

    @property
    def size(self) -> int:
        return len(self.indices)

    @property
    def classes(self) -> Tensor:
        """The classes the client holds, ascending."""
        return self.label_counts.nonzero().flatten()


@dataclass(frozen=True, eq=False)
class Federation:
    """All shards, the pool they split, and the held-out validation images (uint8) and labels, on the device."""

    shards: tuple[Shard, ...]
    pool: Shard
    validation_images: Tensor
    validation_labels: Tensor
    partition: Partition

    @property
    def sizes(self) -> list[int]:
        return [shard.size for shard in self.shards]

    @property
    def label_counts(self) -> Tensor:
        """(N, K) samples of each client and class."""
        return torch.stack([shard.label_counts for shard in self.shards])


def open_federation(task: Task) -> Federation:
    """The task's clients. The test set is not among what is loaded: it is the harness's alone."""
    return _open(task, device())


def split(task: Task) -> tuple[Tensor, Tensor, Partition]:
    """Who gets what of the training data: the pool's indices (n,), the held-out ones, and the partition of the pool.

    InputError where the data or the task do not allow it.
    """
    labels = load(task.dataset, "train").labels
    kept, held_out = split_validation(labels, task.validation, task.seed)
    if task.n_train is not None:
        if not 1 <= task.n_train <= len(kept):
            raise InputError(
                f"n_train is {task.n_train}; {task.dataset} has 1 to {len(kept)} training images."
            )
        kept = kept[numpy_stream(task.seed, "n_train").permutation(len(kept))[: task.n_train]]
    parts = partition(
        labels[kept], task.n_clients, task.omega, task.law, task.min_samples, task.seed
    )
    return kept, held_out, parts


@functools.lru_cache(maxsize=4)
def _open(task: Task, device: str) -> Federation:
    data, (kept, held_out, parts) = load(task.dataset, "train"), split(task)
    images, labels = data.images.to(device), data.labels.to(device)

    def shard(client: int, indices: Tensor) -> Shard:
        counts = torch.bincount(data.labels[indices], minlength=data.n_classes)
        return Shard(client, task.width(client), images, labels, indices.to(device), counts)

    return Federation(
        shards=tuple(shard(i, kept[own]) for i, own in enumerate(parts.indices)),
        pool=shard(0, kept),
        validation_images=images[held_out.to(device)],
        validation_labels=labels[held_out.to(device)],
        partition=parts,
    )
