"""The clients' models as teachers: frozen networks whose logits are computed together."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mosaic.fl.contract import Predict
from mosaic.fl.costs import metered
from mosaic.fl.device import autocast
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import frozen_network, predictor


def teachers_of(task: Task, clients: Sequence[State]) -> list[nn.Module]:
    """The clients' models as frozen networks in eval mode.

    Args:
        task: gives each client's width.
        clients: the models of clients 0 to N - 1, in this order.

    Returns:
        N networks, each of its client's width. Their BatchNorm layers follow ``task.batch_norm``,
        as those of students and experts do: the client's running statistics, or each batch's.
    """
    return [
        frozen_network(state, task.spec_at(task.width(i)), task.batch_norm)
        for i, state in enumerate(clients)
    ]


def reloaded(teachers: list[nn.Module], task: Task, clients: Sequence[State]) -> list[nn.Module]:
    """``teachers`` with the clients' models loaded; where the list is empty, :func:`teachers_of`.

    A method that distils in each round builds the networks once and reloads them.
    """
    if not teachers:
        return teachers_of(task, clients)
    for teacher, state in zip(teachers, clients, strict=True):
        LiveNetwork(teacher).load(state)
    return teachers


def logits_with_gradient(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    """All teachers' logits (N, B, K) in float32, with a gradient to the images (B, C, H, W)."""
    return torch.stack([teacher(images).float() for teacher in teachers])


@torch.no_grad()
def teacher_logits(teachers: Sequence[nn.Module], images: Tensor, task: Task) -> Tensor:
    """All teachers' logits, without gradients.

    Args:
        teachers: N networks, from :func:`teachers_of`.
        images: normalised images (B, C, H, W).
        task: gives the precision.

    Returns:
        Logits (N, B, K) in float32.
    """
    shapes = (task.spec, images.shape[1:], len(teachers), task.widths)
    images = images.contiguous(memory_format=torch.channels_last)
    with metered("ensemble", *shapes, items=len(images)), autocast(task.precision):
        return logits_with_gradient(teachers, images)


def mean_logits(
    teachers: Sequence[nn.Module], images: Tensor, task: Task, mean: str = "logits"
) -> Tensor:
    """The plain ensemble: the mean (B, K) of all teachers' logits for images (B, C, H, W).

    With ``mean="probabilities"`` it is that of their probabilities, as :func:`mean_of` gives it.
    """
    return mean_of(teacher_logits(teachers, images, task), mean)


def mean_of(logits: Tensor, mean: str, dim: int = 0) -> Tensor:
    """The ensemble's logits (B, K), of its members' logits f (N, B, K).

    Args:
        logits: the members' logits.
        mean: "logits": their mean. "probabilities": log (1/N) sum_k softmax(f_k), where a member
            that is too sure counts no more than any other.
        dim: the dimension of the members, if it is not the first.
    """
    if mean == "logits":
        return logits.mean(dim)
    return logits.log_softmax(-1).logsumexp(dim) - math.log(logits.shape[dim])


def clients_mean(clients: Sequence[State], task: Task, mean: str = "logits") -> Predict:
    """The plain ensemble of more clients than fit in memory at once: their models take turns.

    Args:
        clients: the models of clients 0 to N - 1; each is read when its turn comes.
        task: gives each client's width.
        mean: as in :func:`mean_of`.

    Returns:
        A function from images (B, C, H, W) to the mean (B, K) of the clients' logits, as
        :func:`mean_logits` gives it.
    """

    def predict(images: Tensor) -> Tensor:
        logits = [
            predictor(state, task, task.width(client))(images)
            for client, state in enumerate(clients)
        ]
        return mean_of(torch.stack(logits), mean)

    return predict


def source_predictions(
    clients: Sequence[State], task: Task, images: Tensor, drawn_by: Tensor
) -> Tensor:
    """The source teacher: for each image the logits of the client whose generator drew it.

    Args:
        clients: the clients' models.
        task: gives the clients' widths, and the BatchNorm statistics.
        images: (B, C, H, W).
        drawn_by: the client (B,) of each image.

    Returns:
        Logits (B, K).
    """
    logits = torch.empty(len(images), task.source.n_classes, device=images.device)
    for client in drawn_by.unique().tolist():
        of_client = (drawn_by == client).nonzero().flatten()
        predict = predictor(clients[client], task, task.width(client))
        logits[of_client] = predict(images[of_client])
    return logits


def class_shares(label_counts: Tensor) -> Tensor:
    """Each client's share of each class: w_ky = n_k^y / sum_j n_j^y.

    Args:
        label_counts: samples per client and class (N, K).

    Returns:
        Shares (N, K). They sum to 1 over the clients, or to 0 for a class that no client has.
    """
    return label_counts / label_counts.sum(0).clamp_min(1)


def drawn_from(pool: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` different images of a pool (P, C, H, W) in random order, or all P where it has fewer.

    Returns:
        The images (min(n, P), C, H, W), and -1 for each: no client drew it.
    """
    chosen = torch.randperm(len(pool), generator=rng)[:n].to(pool.device)
    return pool[chosen], torch.full((len(chosen),), -1)
