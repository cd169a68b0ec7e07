"""A partition of digits among three clients, and a task that uses a partition file."""

import math

from mosaic.fl.data.partition_file import register_partition
from mosaic.fl.task import Task

LISTS = [list(range(40, 0, -2)), list(range(101, 161, 3)), list(range(1000, 1100))]


def task_of(path, **changes) -> Task:
    """A task on digits with the clients of a file."""
    facts = {"n_clients": 3, "omega": math.inf, "law": "file"} | changes
    return Task(partition=register_partition(path), **facts)
