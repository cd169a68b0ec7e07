"""Co-Boosting: synthetic images grow harder for the ensemble, and its weights fit them better, in
turn.

Dai et al., Enhancing One-Shot Federated Learning Through Data and Ensemble Co-Boosting, ICLR 2024,
Algorithm 1.

Differs from the paper and its code:
- The teachers are the clients' models of the last warm-up round, and the student starts from their
  average, so that it is DENSE's rival on equal terms. ``student="random"`` is the paper's.
- Images stay in memory and are not cropped and flipped again in each pass. So the clients' logits
  for the images of the pool never change: they are computed once, and the steps of the ensemble's
  weights read them.
- A step that would take the last positive weight to 0 is not made. Only rounding can cause it, and
  the code would then divide by 0.
- The perturbation is of 8/255 in the space of the images, [-1, 1], as in the code for grey images.
- The result is the last epoch's student, not the best one on the test set.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, final_client_models, waves_of_all_rounds
from mosaic.fl.synthesis.upsampling import fitted_batch
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, loss_curve_ends
from mosaic.fl.training.growing_pool import KeptMomentum, batches_of_epoch, first_student
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import (
    drawn_from,
    logits_with_gradient,
    teacher_logits,
    teachers_of,
)

PAPER = "Dai et al., ICLR 2024"
PROTOCOL = "once, after the rounds"
NEEDS = ()
STUDENT = ("config.student", "trained")
CLIP = 10.0  # of each gradient's norm; the code's


@dataclass(frozen=True)
class Config:
    """Settings of Co-Boosting: the code's defaults."""

    student: str = choice("average", "random")  # initial weights; the paper: random
    # each adds one batch to the pool of images
    epochs: int = scaled_steps(200, "server", batch="batch")
    synthesis_steps: int = 30  # of the generator and its noise, per epoch
    # of the student, shared among the epochs in proportion to their images; the paper's epochs are
    # one pass each over the images so far, 1 + 2 + ... + 200 batches
    distil_steps: int = scaled_steps(20_100, "server", batch="batch")
    batch: int = 128
    latent: int = 256  # values of a noise vector
    synthesis_lr: float = 1e-3  # Adam, beta1 0.5
    hardness: float = 1.0  # h: an image weighs (1 - p_y)^h in the generator's cross entropy
    weight_adv: float = 1.0  # of the student's KL divergence in the generator's loss
    adv_temperature: float = 3.0  # of that divergence
    ensemble_step: float = 0.01  # mu, by which a client's weight moves per batch of the pool
    ensemble_decay: float = 0.99  # factor of mu per epoch
    perturbation: float = 8 / 255  # by which a pixel moves
    perturb_temperature: float = 4.0  # of the probabilities whose gradient it follows
    student_lr: float = 0.01  # SGD, momentum 0.9, weight decay 1e-4, cosine over the epochs
    temperature: float = 4.0  # of the student's distillation
    mean: str = choice("logits", "probabilities")  # of the clients'; the code: logits


SPACE = {
    "hardness": (0.0, 3.0),
    "weight_adv": (0.1, 10.0),
    "ensemble_step": (1e-3, 1e-1),
    "perturbation": (0.001, 0.1),
    "synthesis_lr": (1e-4, 1e-2),
    "student_lr": (1e-4, 1e-1),
    "temperature": (1.0, 20.0),
}
TUNED = ("synthesis_lr", "student_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Improve images, ensemble and student in turn, epoch by epoch; one snapshot.

    Its ``distil_loss_end`` is that of the last epoch's steps.
    """
    teachers = teachers_of(task, final_client_models(task))
    start = student = first_student(task, config.student)
    weights = torch.full((len(teachers),), 1 / len(teachers), device=device())
    soften = partial(losses.soft_distillation, temperature=config.temperature)
    momentum = KeptMomentum(0.9, weight_decay=1e-4)
    curve: list[float] = []
    pool: list[Tensor] = []  # batches of images, one per epoch
    labels: list[Tensor] = []  # their intended labels (B,)
    logits: list[Tensor] = []  # the clients' logits for them (N, B, K)
    for epoch in range(config.epochs):
        # (1) A batch of images that the ensemble classifies as intended, that are hard for it, and
        # on which the student differs from it.
        network = frozen_network(student, task.spec, task.batch_norm)
        loss = partial(synthesis_loss, task, config, teachers, weights, network)
        images, intended = fitted_batch(task, config, epoch + 1, loss, CLIP)
        pool.append(images)
        labels.append(intended)
        logits.append(teacher_logits(teachers, images, task))

        # (2) The ensemble's weights take a step of fixed length for each batch of an earlier epoch,
        #     as in the code.
        step = config.ensemble_step * config.ensemble_decay**epoch
        for earlier, their_labels in zip(logits[:epoch], labels[:epoch], strict=True):
            weights = reweighted(weights, earlier, their_labels, step, config.mean)

        # (3) The student learns from the ensemble, on images perturbed to be harder.
        rng = stream(task.seed, "lessons", epoch)
        shuffled = batches_of_epoch(pool, config.distil_steps, epoch + 1, config.epochs, rng)
        if not shuffled:
            continue
        harder = labelled_batches(task, config, teachers, weights, shuffled, rng)
        lr = config.student_lr * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
        sgd = partial(momentum, lr=lr)
        student, curve = distil(student, harder, task, sgd, soften, frozen_norms=False, clip=CLIP)

    diagnostics = {"weight_least": float(weights.min()), "weight_most": float(weights.max())}
    if curve:
        diagnostics["distil_loss_end"] = loss_curve_ends(curve)[1]
    yield Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=partial(drawn_from, torch.cat(pool)),
        probes={
            "before": predictor(start, task),
            "teacher": partial(ensemble, teachers, weights, task, mean=config.mean),
        },
        diagnostics=diagnostics,
    )


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)


def weighted(logits: Tensor, weights: Tensor, mean: str = "logits") -> Tensor:
    """The ensemble's logits (B, K): sum_k w_k f_k / sum_k w_k.

    Args:
        logits: the clients' f_k (N, B, K).
        weights: w (N,), of which at least one is positive.
        mean: "logits", or "probabilities": log sum_k w_k softmax(f_k) / sum_k w_k.
    """
    if mean == "logits":
        return torch.einsum("n,nbk->bk", weights, logits) / weights.sum()
    probabilities = torch.einsum("n,nbk->bk", weights, logits.softmax(2)) / weights.sum()
    return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()


def ensemble(
    teachers: list[nn.Module], weights: Tensor, task: Task, images: Tensor, mean: str = "logits"
) -> Tensor:
    """The weighted ensemble's logits (B, K) for images (B, C, H, W)."""
    return weighted(teacher_logits(teachers, images, task), weights, mean)


def labelled_batches(
    task: Task,
    config: Config,
    teachers: list[nn.Module],
    weights: Tensor,
    pool: list[Tensor],
    rng: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's batches of an epoch: perturbed images, and the ensemble's logits for them."""
    for images in pool:
        harder = perturbed(task, config, teachers, weights, images, rng)
        yield harder, ensemble(teachers, weights, task, harder, config.mean)


def synthesis_loss(
    task: Task,
    config: Config,
    teachers: list[nn.Module],
    weights: Tensor,
    student: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """The generator's loss: hardness-weighted cross entropy minus weight_adv KL(ensemble ||
    student).

    Args:
        task: gives the precision.
        config: gives the hardness's exponent, weight_adv and the KL's temperature.
        teachers: the clients' frozen networks.
        weights: their weights (N,) in the ensemble.
        student: the student's frozen network.
        images: (B, C, S, S), with a gradient to the generator.
        labels: the labels (B,) that the images were drawn for.
    """
    with autocast(task.precision):
        logits = weighted(logits_with_gradient(teachers, images), weights, config.mean)
        student_logits = student(images).float()
    weight = hardness(logits.detach(), labels, config.hardness)
    kl = losses.soft_distillation(student_logits, logits, config.adv_temperature)
    cross_entropy = (weight * F.cross_entropy(logits, labels, reduction="none")).mean()
    return cross_entropy - config.weight_adv * kl


def hardness(logits: Tensor, labels: Tensor, h: float) -> Tensor:
    """(1 - p_y)^h (B,): near 0 where logits (B, K) are confident of the label (B,)."""
    confidence = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    return (1 - confidence) ** h


def reweighted(
    weights: Tensor, logits: Tensor, labels: Tensor, step: float, mean: str = "logits"
) -> Tensor:
    """The ensemble's weights after one step down its cross entropy, by the gradient's signs.

    Args:
        weights: (N,), in [0, 1].
        logits: the clients' logits (N, B, K) for a batch of images.
        labels: the images' intended labels (B,).
        step: by how much each weight moves.
        mean: what the ensemble is the mean of.

    Returns:
        New weights (N,) in [0, 1]; the old ones where all new ones would be 0.
    """
    variable = weights.clone().requires_grad_()
    loss = F.cross_entropy(weighted(logits, variable, mean), labels)
    (gradient,) = torch.autograd.grad(loss, variable)
    moved = (weights - step * gradient.sign()).clamp(0, 1)
    return torch.where(moved.sum() > 0, moved, weights)


def perturbed(
    task: Task,
    config: Config,
    teachers: list[nn.Module],
    weights: Tensor,
    images: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Images moved so that the ensemble is less sure of them.

    Each pixel moves by ``config.perturbation`` along the gradient of a random mix of the ensemble's
    softened probabilities.

    Args:
        task: gives the precision.
        config: gives the length and the temperature.
        teachers: the clients' frozen networks.
        weights: their weights (N,) in the ensemble.
        images: (B, C, S, S).
        rng: draws the mix, uniform in [-1, 1] for each image and class.

    Returns:
        Images (B, C, S, S).
    """
    variable = images.detach().clone(memory_format=torch.channels_last).requires_grad_()
    shapes = (task.spec, images.shape[1:], len(teachers), task.widths)
    with metered("perturb", *shapes, items=len(images)):
        with autocast(task.precision):
            logits = weighted(logits_with_gradient(teachers, variable), weights, config.mean)
        mix = (2 * torch.rand(logits.shape, generator=rng) - 1).to(logits.device)
        (mix * (logits / config.perturb_temperature).softmax(1)).sum().backward()
    assert variable.grad is not None
    return images + config.perturbation * variable.grad.sign()
