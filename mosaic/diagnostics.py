"""What a record says of Mosaic beside its result: probes to be scored on the test set, and its failure signatures."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mosaic.experts import predictions
from mosaic.fl.contract import Predict
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.starting_models import Clients


def probes(
    task: Task, clients: Clients, experts: list[State], meta: torch.nn.Module, teacher: str
) -> dict:
    """What the harness scores on the test set for diagnosis: before distillation, the clients' mean, experts, teacher.

    The source teacher needs to know who drew an image; it has no answer for a real one, and so no probe.
    """
    said = last_remembered(partial(predictions, experts, task))
    found = {f"expert_{c}": lambda images, c=c: said(images)[:, c] for c in range(len(experts))}
    found["before"] = predictor(clients.server, task)
    found["ensemble"] = clients_mean(clients.models, task)
    found["experts"] = lambda images: said(images).mean(1)
    if teacher == "meta":
        found["teacher"] = lambda images: meta(said(images))
    elif teacher == "experts":
        found["teacher"] = found["experts"]
    return found


def last_remembered(predict: Predict) -> Predict:
    """The same function, which computes once what it is asked several times in a row of the same tensor."""
    asked, answer = None, None

    def remembered(images: Tensor) -> Tensor:
        nonlocal asked, answer
        if images is not asked:
            asked, answer = images, predict(images)
        return answer

    return remembered


def diagnostics(
    generators: Sequence[dict], label_counts: Tensor, curve: list[float]
) -> dict[str, float]:
    """The seed's failure signatures: the generators' diversity, the experts' balance, the distillation's course."""
    share = label_counts / label_counts.sum(0).clamp_min(
        1
    )  # (N, K): each client's weight in each expert
    tenth = max(1, len(curve) // 10)
    lost = [generator["losses"] for generator in generators]
    found = {f"generator_{k}": sum(losses[k] for losses in lost) / len(lost) for k in lost[0]}
    return found | {
        "expert_weight_entropy": -torch.special.xlogy(share, share).sum(0).mean().item(),
        "distil_loss_start": sum(curve[:tenth]) / tenth,
        "distil_loss_end": sum(curve[-tenth:]) / tenth,
    }


def clients_mean(clients: Sequence[State], task: Task) -> Predict:
    """The plain ensemble: the mean of the clients' logits, each by its own running BatchNorm statistics."""
    task = replace(task, batch_norm="average")

    def mean(images: Tensor) -> Tensor:
        said = (
            predictor(state, task, task.width(client))(images)
            for client, state in enumerate(clients)
        )
        return torch.stack(list(said)).mean(0)

    return mean
