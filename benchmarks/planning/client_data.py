"""How many images the clients of a task have: what some methods' FLOPs depend on."""

from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from mosaic.fl.data.federation import split
from mosaic.fl.data.loading import fingerprint, load
from mosaic.fl.task import Task


def n_images(task: Task) -> int:
    """The images of all clients together, which are the same for all seeds and splits."""
    return int(label_counts(replace(task.without_clients(), seed=0)).sum())


def label_counts(task: Task) -> Tensor:
    """Each client's number of images of each class, int64 (n_clients, K).

    Raises:
        InputError: the data are absent, or cannot be split as the task says.
    """
    data = task.data or fingerprint(load(task.dataset, "train"))
    return _label_counts(replace(task.without_models(), data=data))


@lru_cache(maxsize=256)
def _label_counts(task: Task) -> Tensor:
    _, _, parts = split(task)
    return parts.label_counts
