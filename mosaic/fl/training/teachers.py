"""The clients' models as teachers: frozen networks that are asked together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import frozen_network


def teachers_of(task: Task, clients: Sequence[State]) -> list[nn.Module]:
    """The clients' own models, each at its width and with its own running BatchNorm statistics, in eval mode."""
    return [frozen_network(state, task.spec_at(task.width(i))) for i, state in enumerate(clients)]


def logits_with_gradient(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    """All teachers' logits (N, B, K), float32, for images (B, C, H, W), with a gradient to the images."""
    return torch.stack([teacher(images).float() for teacher in teachers])


@torch.no_grad()
def teacher_logits(teachers: Sequence[nn.Module], images: Tensor, task: Task) -> Tensor:
    """All teachers' logits (N, B, K), float32, without a gradient."""
    asked = (task.spec, images.shape[1:], len(teachers), task.widths)
    with metered("ensemble", *asked, items=len(images)), autocast(task.precision):
        return logits_with_gradient(teachers, images.contiguous(memory_format=torch.channels_last))


def class_shares(label_counts: Tensor) -> Tensor:
    """w_ky = n_k^y / sum_j n_j^y (N, K) from counts (N, K): who knows a class. All 0 for a class that nobody has."""
    return label_counts / label_counts.sum(0).clamp_min(1)


def drawn_from(pool: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` images of a pool (P, C, H, W), drawn with replacement; no client's generator drew them (-1)."""
    chosen = torch.randint(len(pool), (n,), generator=rng).to(pool.device)
    return pool[chosen], torch.full((n,), -1)
