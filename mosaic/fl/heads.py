"""A model's head, its last layer: the features that it reads, its training, and its replacement.

For methods that keep FedAvg's network and change its last layer alone. Such a step costs next to
nothing beside one through the network.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.channel import download
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.models.spec import State
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import features


def features_of_clients(task: Task) -> Iterator[tuple[Shard, Tensor, Tensor]]:
    """Each client's features by the server's model of the last round, which it downloads.

    A client of any width runs the whole model for it, once and without training. BatchNorm uses
    the model's running statistics, whatever the task's policy: with those of a batch an image's
    features would depend on which other images of the client are in it.

    Yields:
        The client's shard, the features (n, F) of its samples, and their labels (n,).
    """
    server = federated_model(task, task.rounds)
    running = replace(task, batch_norm="average")
    for shard in open_federation(task).shards:
        images = shard.images[shard.indices]
        labels = shard.labels[shard.indices]
        yield shard, features(download(server), running, images), labels


def head_of(model: State) -> nn.Linear:
    """A copy of a model's head, (B, F) to (B, K), that can be trained by itself."""
    weight = model["linear.weight"]
    with torch.random.fork_rng(devices=[]):  # its initial weights are drawn, and overwritten
        head = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.device)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(model["linear.bias"])
    return head


def with_head(model: State, weight: Tensor, bias: Tensor) -> State:
    """The model with another head, of weights (K, F) and biases (K,). All else is the same."""
    old = model["linear.weight"]
    weight = weight.detach().to(old)
    return model | {"linear.weight": weight, "linear.bias": bias.detach().to(old)}


def retrained(
    model: State,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
) -> State:
    """The model after its head was trained by cross entropy on features.

    Args:
        model: the model to start from. It is not changed.
        batches: features (B, F) and labels (B,), one step for each.
        optimiser: builds the optimiser from the head's parameters.

    Raises:
        FloatingPointError: a weight or a bias is not finite.
    """
    head = head_of(model)
    built_optimiser = optimiser(head.parameters())
    for features_of_batch, labels in batches:
        built_optimiser.zero_grad(set_to_none=True)
        shape = tuple(head.weight.shape)
        with torch.enable_grad(), metered("head", *shape, items=len(labels)):
            F.cross_entropy(head(features_of_batch), labels).backward()
        built_optimiser.step()

    if not all(values.isfinite().all() for values in head.parameters()):
        raise FloatingPointError("the head's training diverged: lower its learning rate")
    return with_head(model, head.weight, head.bias)
