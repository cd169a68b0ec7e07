"""Data sharing: a part of the clients' real images is given to all clients. Methods that share
synthetic images are compared with it.

Zhao et al., Federated Learning with Non-IID Data, 2018, arXiv:1806.00582. A small set in which all
classes are equally frequent is at the server; each client trains on its own data and on that set.

Differs from the paper:
- The set is taken from the clients' own training images, who upload them. The paper's is another
  one, which nobody of the clients has.
- All clients receive the whole set. The paper has a share of it per client, and a model that is
  first trained on the set at the server; here all methods start from the same weights.
- ``mix="complement"`` and ``mix="half"`` are the rules of Mosaic's feedback, by which a client adds
  images only if it lacks a class. With ``count`` as many images as there, the two differ in the
  images alone.

Where widths differ the rounds are FedRolex's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, added_later, choice
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.shared_images import (
    SharedImages,
    class_balanced,
    complement,
    everything,
    half,
    mixed_shards,
)
from mosaic.fl.errors import InputError
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

PAPER = "Zhao et al., 2018 (arXiv 1806.00582)"
PROTOCOL = "once, before the rounds"
NEEDS = ("raw data",)


@dataclass(frozen=True)
class Config:
    """Settings of data sharing."""

    share: float = 0.05  # of the clients' images that all receive; the paper: 5 % and more
    # What a client adds; the paper: everything
    mix: str = choice("everything", "complement", "half")
    rare: float = 0.0  # a class is lacking up to this share of the largest; not with "everything"
    count: int = added_later(0)  # images that all receive, in place of the share; 0: the share

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}; it is a share of all images, in (0, 1].")


SPACE = {"mix": ["everything", "complement"], "rare": (0.0, 1.0)}
TUNED = ("mix",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds in which all clients have the shared images too."""
    shards = open_federation(task).shards
    n = config.count or config.share * open_federation(task).pool.size
    shared = real_images(task, n)
    upload([shared.images, shared.labels], "data")
    rules = {
        "everything": everything,
        "complement": partial(complement, rare=config.rare),
        "half": partial(half, rare=config.rare),
    }
    mixed = mixed_shards(task, shards, shared, rules[config.mix])

    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        clients = client_updates(task, server, t, samples=mixed)
        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task))


def real_images(task: Task, n: float) -> SharedImages:
    """A random part of the clients' images, ``n`` of them, of each class as many as of any other.

    A class of which the clients have fewer images than its part gives all of them.
    """
    pool = open_federation(task).pool
    order = torch.randperm(pool.size, generator=stream(task.seed, "real images"))
    indices = pool.indices[order.to(pool.indices.device)]
    n_held = len(pool.classes)
    per_class = max(1, round(n / n_held))
    classes = pool.labels[indices].cpu()
    kept = indices[class_balanced(classes, per_class, task.source.n_classes).to(indices.device)]
    return SharedImages(pool.images[kept], pool.labels[kept])
