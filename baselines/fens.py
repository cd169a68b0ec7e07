"""FENS: the clients together train a small network that combines the predictions of all their
models.

Allouah et al., Revisiting Ensembling in One-Shot Federated Learning, NeurIPS 2024,
arXiv:2411.07182. First each client trains a model and uploads it. Then all clients get all models,
and train by federated learning an aggregator: a network of two layers that maps the N models'
logits of an image to one. Like ``ensemble``, the result is N models, and N passes per image.

As in the code, clients train the models on nine tenths of their data, and the aggregator on the
rest. A round of the aggregator is FedAdam: one local SGD step at each client, and Adam at the
server, without correction of its first steps, on the mean of what they moved.

Differs from the paper and its code:
- The models are those of the last of T rounds of FedAvg (FedRolex where widths differ), as for
  ``ensemble``; with one round they are the paper's, trained alone.
- Models are sent to the clients in float32. The code sends them in 8 bits, a quarter of the bytes.
- The hidden layer has 2 N units, as in the scripts; the code's default is 4 N.
- All clients take part in each of the aggregator's rounds, and in the last round of the models.
- The aggregator learns from logits with the models' running BatchNorm statistics, and is tested
  with those of the task's policy: of a batch, where widths differ.
- In the models' averages clients weigh all of their samples, although they train on nine tenths.
- The aggregator has all 500 rounds at every scale: they cost next to nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.aggregation import average
from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Snapshot
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.rounds import average_round, client_update, participants
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy
from mosaic.fl.training.sgd import batches
from mosaic.fl.training.teachers import mean_logits, teacher_logits, teachers_of

PAPER = "Allouah et al., NeurIPS 2024"
PROTOCOL = "once, after the rounds"
NEEDS = ("all models at test",)

BETAS = (0.9, 0.99)  # of the server's Adam, the code's
EPSILON = 1e-3


@dataclass(frozen=True)
class Config:
    """Settings of FENS, the numbers of the authors' scripts."""

    held_out: float = 0.1  # share of a client's images that train the aggregator
    hidden: int = 2  # units of the aggregator's hidden layer, per client
    aggregator_rounds: int = 500
    aggregator_batch: int = 128
    aggregator_lr: float = 1.0  # SGD of the clients, one step a round
    server_lr: float = 1e-3  # Adam of the server


SPACE = {"server_lr": (1e-4, 1e-1)}
TUNED = ("server_lr",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train the clients' models, then the aggregator; one snapshot."""
    shards = open_federation(task).shards
    parts = [divided(shard, config.held_out, task.seed) for shard in shards]

    # (1) The clients' models, from the larger part of their data.
    models = client_models(task, [larger for larger, _ in parts])

    # (2) Each client gets all of them, and computes their logits for the rest of its data.
    samples = embedded(task, models, [rest for _, rest in parts])

    # (3) They train the aggregator, round by round.
    aggregator, losses = trained_aggregator(task, config, samples)
    members = teachers_of(task, models)
    yield Snapshot(
        round=task.rounds,
        predict=partial(combined, aggregator, members, task),
        probes={"ensemble": partial(mean_logits, members, task=task)},
        diagnostics={"aggregator_loss_start": losses[0], "aggregator_loss_end": losses[-1]},
    )


def divided(shard: Shard, share: float, seed: int) -> tuple[Shard, Shard]:
    """A client's data in two: all but ``share`` of it, and the rest, each of at least one image.

    A client with a single image has it in both.
    """
    n_rest = min(max(1, round(share * shard.size)), max(1, shard.size - 1))
    order = torch.randperm(shard.size, generator=stream(seed, "held out", shard.client))
    order = order.to(shard.indices.device)
    larger = order[n_rest:] if shard.size > 1 else order
    return part_of(shard, larger), part_of(shard, order[:n_rest])


def part_of(shard: Shard, chosen: Tensor) -> Shard:
    """The client with only the images at positions ``chosen`` of its own."""
    indices = shard.indices[chosen]
    counts = shard.labels[indices].bincount(minlength=len(shard.label_counts)).cpu()
    return replace(shard, indices=indices, label_counts=counts)


def client_models(task: Task, shards: list[Shard]) -> list[State]:
    """The models that all clients upload in the last of T rounds of FedAvg."""

    def loss_of(shard: Shard, received: State):  # the usual one; but on part of the data
        return cross_entropy

    server = federated_model(task, 0)
    for t in range(1, task.rounds):
        present = [shards[shard.client] for shard in participants(task, t)]
        clients = (client_update(task, server, t, shard, loss_of) for shard in present)
        server = average_round(task, server, clients, t)
    return [client_update(task, server, task.rounds, shard, loss_of) for shard in shards]


def embedded(task: Task, models: list[State], shards: list[Shard]) -> list[tuple[Tensor, Tensor]]:
    """All models' logits (n, N K) and the labels (n,) of each shard; its client gets the models.

    BatchNorm uses the models' running statistics, whatever the task's policy: with those of a batch
    an image's logits would depend on the client's other images, and many clients have a single one
    here.
    """
    running = replace(task, batch_norm="average")
    members = teachers_of(running, models)
    samples = []
    for shard in shards:
        download(models)
        images = normalise(shard.images[shard.indices])
        samples.append((concatenated(members, running, images), shard.labels[shard.indices]))
    return samples


def concatenated(members: list[nn.Module], task: Task, images: Tensor) -> Tensor:
    """All models' logits (B, N K) for normalised images (B, C, H, W)."""
    return teacher_logits(members, images, task).transpose(0, 1).flatten(1)


def combined(aggregator: nn.Module, members: list[nn.Module], task: Task, images: Tensor) -> Tensor:
    """The aggregator's logits (B, K) for images (B, C, H, W)."""
    with torch.no_grad():
        return aggregator(concatenated(members, task, images.to(device())))


def new_aggregator(task: Task, config: Config) -> nn.Sequential:
    """Logits of N models (B, N K) to logits (B, K), by a hidden layer."""
    n, n_classes = task.n_clients, task.source.n_classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "aggregator"))
        hidden = nn.Linear(n * n_classes, n * config.hidden)
        aggregator = nn.Sequential(hidden, nn.ReLU(), nn.Linear(n * config.hidden, n_classes))
    return aggregator.to(device())


def trained_aggregator(
    task: Task, config: Config, samples: list[tuple[Tensor, Tensor]]
) -> tuple[nn.Module, list[float]]:
    """Train the aggregator by FedAdam.

    Args:
        task: gives the seed.
        config: gives the rounds, the batch and both learning rates.
        samples: each client's logits (n, N K) and labels (n,).

    Returns:
        The aggregator, and the clients' mean loss in each round.
    """
    aggregator = new_aggregator(task, config)
    rounds = config.aggregator_rounds
    orders = [
        batches(len(labels), config.aggregator_batch, rounds, stream(task.seed, "aggregator", i))
        for i, (_, labels) in enumerate(samples)
    ]
    server = {name: w.detach().clone() for name, w in aggregator.named_parameters()}
    moments = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in server.items()}
    sizes = [len(labels) for _, labels in samples]
    losses = []
    for t in range(rounds):
        # (1) Each client takes one step from the server's aggregator.
        models, found = [], []
        for order, (logits, labels) in zip(orders, samples, strict=True):
            aggregator.load_state_dict(download(server, "aggregator"))
            batch = order[t].to(labels.device)
            loss = stepped(aggregator, logits[batch], labels[batch], config.aggregator_lr)
            moved = {name: w.detach().clone() for name, w in aggregator.named_parameters()}
            models.append(upload(moved, "aggregator"))
            found.append(loss)

        # (2) The server takes a step of Adam along their mean move.
        mean = average(models, sizes)
        server, moments = adam_step(server, mean, moments, config.server_lr)
        losses.append(float(torch.stack(found).mean()))

    aggregator.load_state_dict(server)
    return aggregator.eval().requires_grad_(False), losses


def stepped(aggregator: nn.Module, logits: Tensor, labels: Tensor, lr: float) -> Tensor:
    """One SGD step of an aggregator, in place, on logits (B, N K) and labels (B,); its loss."""
    parameters = list(aggregator.parameters())
    shapes = [tuple(w.shape) for w in parameters]
    with torch.enable_grad(), metered("aggregator", *shapes, items=len(labels)):
        loss = F.cross_entropy(aggregator(logits), labels)
        gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for w, gradient in zip(parameters, gradients, strict=True):
            w -= lr * gradient
    return loss.detach()


def adam_step(
    server: State, mean: State, moments: dict[str, tuple[Tensor, Tensor]], lr: float
) -> tuple[State, dict[str, tuple[Tensor, Tensor]]]:
    """One step of FedAdam: x + lr m / (sqrt(v) + eps), with m and v moving means of the move.

    Args:
        server: the server's weights x.
        mean: the mean of the clients' weights; the move is mean - x.
        moments: m and v of each weight.
        lr: the server's learning rate.

    Returns:
        The weights and the moments after the step.
    """
    new_server, new_moments = {}, {}
    for name, x in server.items():
        move = mean[name] - x
        m = BETAS[0] * moments[name][0] + (1 - BETAS[0]) * move
        v = BETAS[1] * moments[name][1] + (1 - BETAS[1]) * move.square()
        new_server[name] = x + lr * m / (v.sqrt() + EPSILON)
        new_moments[name] = m, v
    return new_server, new_moments
