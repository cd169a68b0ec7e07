"""Co-Boosting: synthetic images grow harder for the ensemble, and its weights fit them better, in turn.

Dai et al., Enhancing One-Shot Federated Learning Through Data and Ensemble Co-Boosting, ICLR 2024, Algorithm 1.

Differs from the paper and its code:
- The teachers are the clients' models of the last warm-up round, and the student starts from their average, so that it
  is DENSE's rival on equal terms; ``student="random"`` is the paper's.
- Images stay in memory and are not cropped and flipped anew at each pass. So what the clients' models say of an image
  of the pool never changes, and the pass that fits the ensemble's weights asks nobody: it reads what was said once.
- A step that would take the last weight to 0 is not made: only rounding can ask for it, and the code would divide by 0.
- The perturbation is of 8/255 in the space of the images, [-1, 1], as in the code for grey images.
- The student's momentum starts at zero in each epoch. The result is the last epoch's, not the best on the test set.
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
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, federated_model, final_client_models, waves_of_all_rounds
from mosaic.fl.synthesis.upsampling import fitted_batch
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
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
    student: str = choice("average", "random")
    epochs: int = scaled_steps(200, "server")  # each adds one batch to the pool
    synthesis_steps: int = 30  # of the generator and its noise, an epoch
    batch: int = 128
    latent: int = 256
    synthesis_lr: float = 1e-3  # Adam, beta1 0.5
    hardness: float = 1.0  # h: an image weighs (1 - p_y)^h in the generator's cross entropy
    weight_adv: float = 1.0
    adv_temperature: float = 3.0
    ensemble_step: float = 0.01  # mu
    ensemble_decay: float = 0.99  # of mu, an epoch
    perturbation: float = 8 / 255
    perturb_temperature: float = 4.0
    student_lr: float = (
        0.01  # SGD, momentum 0.9, weight decay 1e-4, cosine over the epochs; the script's
    )
    temperature: float = 4.0


SPACE = {
    "hardness": (0.0, 3.0),
    "weight_adv": (0.1, 10.0),
    "ensemble_step": (1e-3, 1e-1),
    "perturbation": (0.001, 0.1),
    "student_lr": (1e-4, 1e-1),
    "temperature": (1.0, 20.0),
}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    teachers = teachers_of(task, final_client_models(task))
    student = (
        federated_model(task, task.rounds)
        if config.student == "average"
        else initial_model(task.spec, task.seed)
    )
    weights = torch.full((len(teachers),), 1 / len(teachers), device=device())
    before, pool, labels, said = student, [], [], []
    soften = partial(losses.soft_distillation, temperature=config.temperature)
    for epoch in range(config.epochs):
        # (1) A batch that the ensemble is told to know, finds hard, and on which the student differs from it.
        pupil = frozen_network(student, task.spec, task.batch_norm)
        loss = partial(synthesis_loss, task, config, teachers, weights, pupil)
        images, target = fitted_batch(task, config, epoch + 1, loss, CLIP)
        pool.append(images)
        labels.append(target)
        said.append(teacher_logits(teachers, images, task))

        # (2) The ensemble's weights take a step of fixed length for each batch of the pool.
        step = config.ensemble_step * config.ensemble_decay**epoch
        for logits, target in zip(said, labels, strict=True) if epoch else ():
            weights = reweighted(weights, logits, target, step)

        # (3) The student learns from the ensemble on images pushed to where it is less sure.
        rng = stream(task.seed, "lessons", epoch)
        order = torch.randperm(len(pool), generator=rng).tolist()
        harder = (perturbed(task, config, teachers, weights, pool[i], rng) for i in order)
        lesson = (
            (images, weighted(teacher_logits(teachers, images, task), weights)) for images in harder
        )
        lr = config.student_lr * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
        sgd = partial(torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=1e-4, fused=True)
        student, curve = distil(student, lesson, task, sgd, soften, frozen_norms=False, clip=CLIP)
    found = {"distil_loss_end": sum(curve) / len(curve)}
    found |= {"weight_least": float(weights.min()), "weight_most": float(weights.max())}
    teacher = partial(ensemble, teachers, weights, task)
    probes = {"before": predictor(before, task), "teacher": teacher}
    yield Snapshot(
        task.rounds, predictor(student, task), partial(drawn_from, torch.cat(pool)), probes, found
    )


def stages(task: Task, config: Config) -> Waves:
    return waves_of_all_rounds(task)


def weighted(said: Tensor, weights: Tensor) -> Tensor:
    """The ensemble's logits (B, K), sum_k w_k f_k / sum_k w_k, of its members' (N, B, K) and weights (N,)."""
    return torch.einsum("n,nbk->bk", weights, said) / weights.sum()


def ensemble(teachers: list[nn.Module], weights: Tensor, task: Task, images: Tensor) -> Tensor:
    return weighted(teacher_logits(teachers, images, task), weights)


def synthesis_loss(
    task: Task,
    config: Config,
    teachers: list[nn.Module],
    weights: Tensor,
    student: nn.Module,
    images,
    target,
) -> Tensor:
    """Cross entropy of the hard images to their labels (B,), less what the student's answers differ from it."""
    with autocast(task.precision):
        said = weighted(logits_with_gradient(teachers, images), weights)
        pupil = student(images).float()
    hard = hardness(said.detach(), target, config.hardness)
    kl = losses.soft_distillation(pupil, said, config.adv_temperature)
    return (hard * F.cross_entropy(said, target, reduction="none")).mean() - config.weight_adv * kl


def hardness(said: Tensor, target: Tensor, h: float) -> Tensor:
    """(1 - p_y)^h (B,): near 0 where logits (B, K) are sure of the label (B,)."""
    return (1 - said.softmax(1).gather(1, target[:, None]).squeeze(1)) ** h


def reweighted(weights: Tensor, said: Tensor, target: Tensor, step: float) -> Tensor:
    """The weights (N,) after one step of fixed length down the ensemble's cross entropy, kept in [0, 1]."""
    at = weights.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(weighted(said, at), target), at)
    moved = (weights - step * slope.sign()).clamp(0, 1)
    return torch.where(moved.sum() > 0, moved, weights)


def perturbed(
    task: Task,
    config: Config,
    teachers: list[nn.Module],
    weights: Tensor,
    images: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """The images (B, C, S, S), each pixel moved along the gradient of a random mix of the ensemble's probabilities."""
    at = images.detach().clone(memory_format=torch.channels_last).requires_grad_()
    with metered(
        "perturb", task.spec, images.shape[1:], len(teachers), task.widths, items=len(images)
    ):
        with autocast(task.precision):
            said = weighted(logits_with_gradient(teachers, at), weights)
        mix = (2 * torch.rand(said.shape, generator=rng) - 1).to(said.device)
        (mix * (said / config.perturb_temperature).softmax(1)).sum().backward()
    return images + config.perturbation * at.grad.sign()
