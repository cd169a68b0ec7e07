"""What a record tells of Mosaic beside its result: models scored for diagnosis, and failure signs.

The failure signs are the known ones of Mosaic: generators that collapse, experts that are the copy
of one client, and a distillation loss that does not fall.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.experts import predictions
from mosaic.fl.contract import Predict
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task
from mosaic.fl.training.distillation import loss_curve_ends
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import clients_mean, mean_of
from mosaic.starting_models import Clients


def probes(
    task: Task,
    clients: Clients,
    experts: list[State],
    meta: nn.Module,
    teacher: str,
    mean: str = "logits",
) -> dict[str, Predict]:
    """The models that the harness scores on the test set, for diagnosis only.

    Args:
        task: the federated problem.
        clients: the server's and the clients' models before distillation.
        experts: one model per class.
        meta: the meta model over the experts.
        teacher: "meta", "experts", "clients" or "source". The source teacher needs to know which
            client drew an image; it has no logits for a real one, and so no probe.
        mean: what the teachers "experts" and "clients" are the mean of, "logits" or
            "probabilities".

    Returns:
        By name: "before" (the server's model before distillation), "ensemble" (the mean of the
        clients' logits), "experts" (the mean of the experts' logits), "expert_0", "expert_1", ...
        and "teacher".
    """
    # All probes of one batch need the same experts' logits
    logits = cached_for_last_batch(partial(predictions, experts, task))
    named: dict[str, Predict] = {}
    for c in range(len(experts)):
        named[f"expert_{c}"] = partial(expert_logits, logits, c)
    named["before"] = predictor(clients.server, task)
    named["ensemble"] = clients_mean(clients.models, task)
    named["experts"] = lambda images: logits(images).mean(1)
    if teacher == "clients":
        named["teacher"] = clients_mean(clients.models, task, mean)
    elif teacher == "meta":
        named["teacher"] = lambda images: meta(logits(images))
    elif teacher == "experts":
        named["teacher"] = lambda images: mean_of(logits(images), mean, 1)
    return named


def expert_logits(logits: Predict, expert: int, images: Tensor) -> Tensor:
    """One expert's logits (B, K), of all experts' logits (B, E, K)."""
    return logits(images)[:, expert]


def cached_for_last_batch(predict: Predict) -> Predict:
    """``predict``, computed once where it is called several times in a row with the same tensor."""
    last_images: Tensor | None = None
    last_logits: Tensor | None = None

    def cached(images: Tensor) -> Tensor:
        nonlocal last_images, last_logits
        if last_logits is None or images is not last_images:
            last_images = images
            last_logits = predict(images)
        return last_logits

    return cached


def diagnostics(
    generators: Sequence[dict], label_counts: Tensor, curve: list[float]
) -> dict[str, float]:
    """The numbers by which Mosaic's known failures are recognised.

    Args:
        generators: what each client reports of its generator, with its ``losses``.
        label_counts: those that weighed the experts (N, K), which need not be whole.
        curve: the distillation's losses.

    Returns:
        The clients' mean of each loss of their generators; the mean entropy of the clients' shares
        in an expert, which is 0 where each expert is one client's model; and the distillation loss
        at its start and at its end.
    """
    of_clients = [generator["losses"] for generator in generators]
    named: dict[str, float] = {}
    for name in of_clients[0]:
        total = sum(of_client[name] for of_client in of_clients)
        named[f"generator_{name}"] = total / len(of_clients)

    totals = label_counts.sum(0)  # (K,), 0 for a class that no client has
    shares = label_counts / totals.where(totals > 0, 1)  # (N, K)
    entropies = -torch.special.xlogy(shares, shares).sum(0)  # (K,)
    named["expert_weight_entropy"] = entropies.mean().item()
    named["distil_loss_start"], named["distil_loss_end"] = loss_curve_ends(curve)
    return named
