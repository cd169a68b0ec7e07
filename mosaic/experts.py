"""Mosaic, part 3: one expert per class, from class-weighted client models.

W_c = sum_k n_k^c w_k / sum_k n_k^c (arXiv 2505.19699, phase 2), coordinate by coordinate where widths differ: one that
no client with class c covers keeps the server's value, and the expert of a class that nobody has is the server model.
BatchNorm statistics are averaged like weights, as in the authors' code (which knows full-width models only).
"""

import torch
from torch import Tensor

from mosaic.fl.aggregation import averages_of_parts
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.starting_models import Clients


def class_experts(
    task: Task, clients: Clients, label_counts: Tensor, at_once: int = 5
) -> list[State]:
    """The K experts, from the clients' models and ``label_counts`` (N, K); each pass over the models makes a few."""
    parts, experts = task.layout, []
    for of_classes in label_counts.T.split(at_once):
        models = zip(clients.models, clients.windows, strict=True)
        experts += averages_of_parts(clients.server, models, of_classes.tolist(), parts)
    return experts


def predictions(experts: list[State], task: Task, images: Tensor) -> Tensor:
    """All experts' logits (B, E, K) for images (B, C, H, W)."""
    return torch.stack([predictor(expert, task)(images) for expert in experts], 1)
