"""What HeteroFL and FedRolex do for clients that lack classes: in the loss, and in the average.

Diao et al., ICLR 2021, section 3; FedRolex's code (Alam et al., NeurIPS 2022) has the same.
"""

from functools import partial

from mosaic.fl.data.federation import Shard
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.submodel import Window, own_rows
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy, masked_cross_entropy
from mosaic.fl.training.sgd import Loss


def local_loss(shard: Shard, mask: str) -> Loss:
    """The loss of a client: cross entropy, or with ``mask`` "zero" that of the paper."""
    if mask == "none":
        return cross_entropy
    return partial(masked_cross_entropy, absent=(shard.label_counts == 0).to(device()))


def counted(
    trained: State, shard: Shard, task: Task, channels: Window, rows: str
) -> tuple[State, Window]:
    """What of a client's sub-model the average counts, and its window.

    Args:
        trained: the sub-model that the client uploaded.
        shard: the client's data.
        task: gives the layout.
        channels: the sub-model's window.
        rows: "all", or "own": of the classifier's rows those of the client's classes.
    """
    if rows == "all":
        return trained, channels
    return own_rows(trained, task.layout, channels, shard.classes)
