"""Mosaic, part 3: one expert per class, from class-weighted client models.

W_c = sum_k n_k^c w_k / sum_k n_k^c (arXiv 2505.19699, phase 2), coordinate by coordinate where
widths differ. A coordinate that is held by no client with class c keeps the server's value, and the
expert of a class that no client has is the server's model. BatchNorm statistics are averaged like
weights, as in the authors' code (which has full-width models only).
"""

import torch
from torch import Tensor

from mosaic.fl.aggregation import averages_of_parts
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.starting_models import Clients

EXPERTS_PER_PASS = 5
"""Experts that are summed in one pass over the clients' models. Each pass reads all models; each
expert's sum takes a model's memory in float64."""


def class_experts(task: Task, clients: Clients, label_counts: Tensor) -> list[State]:
    """The K experts, one per class.

    Args:
        task: gives the network's layout.
        clients: the server's model, and the clients' models with their channels.
        label_counts: samples per client and class (N, K).

    Returns:
        K models of the server's width.
    """
    experts: list[State] = []
    for counts in label_counts.T.split(EXPERTS_PER_PASS):
        parts = zip(clients.models, clients.windows, strict=True)
        experts += averages_of_parts(clients.server, parts, counts.tolist(), task.layout)
    return experts


def predictions(experts: list[State], task: Task, images: Tensor) -> Tensor:
    """All experts' logits (B, E, K) for images (B, C, H, W)."""
    return torch.stack([predictor(expert, task)(images) for expert in experts], 1)


def head(expert: State, features: Tensor, order: int = 0) -> Tensor:
    """An expert's logits (P, K) for penultimate features (P, F).

    Another ``order`` sums the features in another order, which changes rounding and nothing else.
    """
    weight = expert["linear.weight"]
    if order:
        shuffled = torch.randperm(weight.shape[1], generator=stream("order", order))
        weight, features = weight[:, shuffled], features[:, shuffled]
    return features @ weight.T + expert["linear.bias"]
