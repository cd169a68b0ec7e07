"""The clients of a task and their shards: views into one pool, which is in memory once."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic.fl.data.given_partition import split_as_given
from mosaic.fl.data.loading import load_checked
from mosaic.fl.data.partition import Partition, partition
from mosaic.fl.data.splits import split_validation
from mosaic.fl.device import device
from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream
from mosaic.fl.task import Task


@dataclass(frozen=True, eq=False)
class Shard:
    """One client's data.

    Attributes:
        client: the client's number, from 0.
        width: of its model, in (0, 1].
        images: of the whole training split, uint8 (N, C, H, W); all shards share it.
        labels: of the whole training split, int64 (N,); all shards share it.
        indices: positions of the client's images in `images` and `labels`, int64 (n,).
        label_counts: the client's number of images of each class, int64 (K,), on the CPU.
    """

    client: int
    width: float
    images: Tensor
    labels: Tensor
    indices: Tensor
    label_counts: Tensor

    @property
    def size(self) -> int:
        """The client's number of images."""
        return len(self.indices)

    @property
    def classes(self) -> Tensor:
        """The classes of which the client has images, ascending."""
        return self.label_counts.nonzero().flatten()


@dataclass(frozen=True, eq=False)
class Federation:
    """All clients of a task, on the device.

    Attributes:
        shards: one per client.
        pool: the clients' data together, as one shard.
        validation_images: the held-out images, uint8 (V, C, H, W).
        validation_labels: their labels, int64 (V,).
        partition: which client has which image of the pool.
    """

    shards: tuple[Shard, ...]
    pool: Shard
    validation_images: Tensor
    validation_labels: Tensor
    partition: Partition

    @property
    def sizes(self) -> list[int]:
        """Each client's number of images."""
        return [shard.size for shard in self.shards]

    @property
    def label_counts(self) -> Tensor:
        """Each client's number of images of each class, int64 (n_clients, K)."""
        return torch.stack([shard.label_counts for shard in self.shards])


def open_federation(task: Task) -> Federation:
    """The clients of a task. The last four federations stay in memory.

    The test set is not loaded: only the benchmark scores on it.

    Raises:
        InputError: the data are absent, are not those of `task.data`, or cannot be split as the
            task says.
    """
    return _open(task, device())


def split(task: Task) -> tuple[Tensor, Tensor, Partition]:
    """Split the training data of a task into validation images and the clients' images.

    Args:
        task: its dataset, n_train, validation, omega, law, partition, min_samples, max_draws,
            n_clients and seed decide.

    Returns:
        The pool that the clients share, as positions in the training split (n,); the held-out
        positions (v,); and the partition, whose indices are positions in the pool.

    Raises:
        InputError: the data are absent, are not those of `task.data`, or cannot be split as the
            task says.
    """
    labels = load_checked(task.dataset, "train", task.data).labels
    kept, held_out = split_validation(labels, task.validation, task.seed)
    if task.law == "file":
        pool, parts = split_as_given(task, labels, held_out)
        return pool, held_out, parts

    if task.n_train is not None:
        if not 1 <= task.n_train <= len(kept):
            raise InputError(
                f"n_train is {task.n_train}; {task.dataset} has 1 to {len(kept)} training images."
            )
        order = numpy_stream(task.seed, "n_train").permutation(len(kept))
        kept = kept[order[: task.n_train]]

    parts = partition(
        labels[kept],
        task.n_clients,
        task.omega,
        task.law,
        task.min_samples,
        task.seed,
        task.max_draws,
    )
    return kept, held_out, parts


@functools.lru_cache(maxsize=4)
def _open(task: Task, device: str) -> Federation:
    data = load_checked(task.dataset, "train", task.data)
    pool, held_out, parts = split(task)
    images = data.images.to(device)
    labels = data.labels.to(device)

    def shard(client: int, indices: Tensor) -> Shard:
        return Shard(
            client=client,
            width=task.width(client),
            images=images,
            labels=labels,
            indices=indices.to(device),
            label_counts=data.labels[indices].bincount(minlength=data.n_classes),
        )

    held_out = held_out.to(device)
    return Federation(
        shards=tuple(shard(i, pool[positions]) for i, positions in enumerate(parts.indices)),
        pool=shard(0, pool),
        validation_images=images[held_out],
        validation_labels=labels[held_out],
        partition=parts,
    )
