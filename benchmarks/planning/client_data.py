"""How many images the clients of a task have: what some methods' FLOPs depend on."""

from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from mosaic.fl.data.federation import split
from mosaic.fl.data.loading import fingerprint, is_here, load
from mosaic.fl.task import Task


def are_here(task: Task) -> bool:
    """Whether a task's data are on this machine. One with their fingerprint was made from them."""
    return bool(task.data) or is_here(task.dataset, "train")


def with_fingerprint(task: Task) -> Task:
    """The task with its data's fingerprint: they are then looked for once, and not at each call."""
    if task.data:
        return task
    return replace(task, data=fingerprint(load(task.dataset, "train")))


def n_images(task: Task) -> int:
    """The images of all clients together, which are the same for all seeds and splits."""
    return _n_images(with_fingerprint(task))


@lru_cache(maxsize=256)
def _n_images(task: Task) -> int:
    return int(label_counts(replace(task.without_clients(), seed=0)).sum())


def label_counts(task: Task) -> Tensor:
    """Each client's number of images of each class, int64 (n_clients, K).

    Raises:
        InputError: the data are absent, or cannot be split as the task says.
    """
    return _label_counts(with_fingerprint(task).without_models())


@lru_cache(maxsize=256)
def _label_counts(task: Task) -> Tensor:
    _, _, parts = split(task)
    return parts.label_counts
