"""Partitions that were read from files, and how a task's clients follow from them."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mosaic.fl.data.partition import Partition
from mosaic.fl.errors import InputError
from mosaic.fl.task import Task


@dataclass(frozen=True, eq=False)
class GivenPartition:
    """The clients' images as a file lists them.

    Attributes:
        clients: for each client the positions of its images in the whole training split,
            ascending, int64 (n_i,). Clients share no image; some images may belong to none.
        path: the file, for error messages.
    """

    clients: tuple[Tensor, ...]
    path: Path


PARTITIONS: dict[str, GivenPartition] = {}
"""The partitions that this process has registered, by their hash: `Task.partition`."""


def split_as_given(task: Task, labels: Tensor, held_out: Tensor) -> tuple[Tensor, Partition]:
    """The pool of a task whose clients come from a file, and their partition of it.

    The pool is all images of the clients, without the validation images. So each client loses
    about the share `task.validation` of what the file lists for it.

    Args:
        task: with `law` "file". Its omega is not used.
        labels: of the whole training split (N,).
        held_out: positions of the validation images in it (v,).

    Returns:
        The pool, as ascending positions in the training split (n,), and its partition.

    Raises:
        InputError: the file does not suit the task or the data set.
    """
    given = _registered(task)
    _check_fits(task, given, len(labels))

    for_training = torch.ones(len(labels), dtype=torch.bool)
    for_training[held_out] = False
    clients = [positions[for_training[positions]] for positions in given.clients]
    _check_sizes(task, given, clients)

    pool = torch.cat(clients).sort().values
    n_classes = int(labels[pool].max()) + 1
    counts = [labels[positions].bincount(minlength=n_classes) for positions in clients]
    return pool, Partition(
        indices=tuple(torch.searchsorted(pool, positions) for positions in clients),
        draws=0,
        moved=0,
        label_counts=torch.stack(counts),
        omega=math.inf,
        law="file",
        seed=task.seed,
    )


def _registered(task: Task) -> GivenPartition:
    if task.partition not in PARTITIONS:
        raise InputError(
            f"partition {task.partition!r} is not known to this process. "
            "Call register_partition(path) with its file first."
        )
    return PARTITIONS[task.partition]


def _check_fits(task: Task, given: GivenPartition, n_images: int) -> None:
    """Raise an InputError unless the file has the task's clients and the data set's images."""
    if task.n_train is not None:
        raise InputError(
            f"n_train is {task.n_train}, but {given.path} lists the training images. "
            "Leave n_train out, or list fewer images in the file."
        )
    if task.n_clients != len(given.clients):
        raise InputError(
            f"{given.path} lists {len(given.clients)} clients, but n_clients is {task.n_clients}. "
            f"Set n_clients to {len(given.clients)}."
        )
    for client, positions in enumerate(given.clients):
        largest = int(positions[-1])
        if largest >= n_images:
            raise InputError(
                f"{given.path}: client {client} has the image {largest}, but the training split of "
                f"{task.dataset} has the images 0 to {n_images - 1}. Is it of another data set?"
            )


def _check_sizes(task: Task, given: GivenPartition, clients: list[Tensor]) -> None:
    """Raise an InputError unless each client has enough images for training."""
    needed = max(task.min_samples, 1)
    for client, positions in enumerate(clients):
        if len(positions) < needed:
            raise InputError(
                f"{given.path}: client {client} (the first is 0) has {len(positions)} images "
                f"for training, {len(given.clients[client])} before validation images are held "
                f"out; at least {needed} are needed. Give it more images, lower min_samples, or "
                "leave it out."
            )
