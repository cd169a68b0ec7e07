"""What tests of several methods need: a run's logits and its cost, and a network with a batch."""

import torch
from torch import nn

from benchmarks.planning.methods import METHODS
from mosaic.fl.contract import Snapshot
from mosaic.fl.costs import Account, Cost, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import device
from mosaic.fl.models.live_network import initial_model, live_network
from mosaic.fl.task import Task

MIXED = (1.0, 0.5, 0.25)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


def logits_of(snapshot: Snapshot) -> torch.Tensor:
    """Logits (M, B, K) of the snapshot's M models."""
    models = [snapshot.predict] if callable(snapshot.predict) else snapshot.predict
    return torch.stack([predict(images()) for predict in models])


def run(name: str, task: Task, **settings) -> list[torch.Tensor]:
    """The logits of each snapshot of a method."""
    method = METHODS[name]
    return [logits_of(snapshot) for snapshot in method.run(task, method.Config(**settings))]


def same(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def cost_of(name: str, task: Task) -> Cost:
    with opened(Account()) as account:
        list(METHODS[name].run(task, METHODS[name].Config()))
    return account.total()


def gradients(loss, network: nn.Module, *batch) -> dict[str, torch.Tensor]:
    network.zero_grad()
    loss(network, *batch).backward()
    return {name: w.grad.clone() for name, w in network.named_parameters()}


def some_batch(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    pool = open_federation(task).pool
    return normalise(pool.images[pool.indices[:16]]), pool.labels[pool.indices[:16]]


def some_network(task: Task) -> nn.Module:
    network = live_network(task.spec, device())
    network.load(initial_model(task.spec, 7))
    return network.training()
