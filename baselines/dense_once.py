"""DENSE, once after the rounds: the paper's Algorithm 1 from the clients' models of the last round.

Zhang et al., NeurIPS 2022, arXiv:2112.12371. Settings and deviations are in ``dense.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot
from mosaic.fl.device import autocast
from mosaic.fl.rng import stream
from mosaic.fl.stages import final_client_models
from mosaic.fl.synthesis.upsampling import fitted_batch
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, loss_curve_ends
from mosaic.fl.training.growing_pool import KeptMomentum, first_student, steps_of_epoch
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.sgd import shuffled_batches
from mosaic.fl.training.teachers import drawn_from, mean_logits, mean_of, teachers_of

if TYPE_CHECKING:  # dense.py imports this file
    from baselines.dense import Config


def run_once(task: Task, config: Config) -> Iterator[Snapshot]:
    """Synthesise images epoch by epoch and teach the student on all of them; one snapshot.

    Its ``distil_loss_end`` is that of the last epoch's steps.
    """
    teachers = teachers_of(task, final_client_models(task))
    start = first_student(task, config.student)

    momentum = KeptMomentum(0.9)
    soften = partial(losses.soft_distillation, temperature=config.temperature)
    student = start
    curve: list[float] = []
    pool: list[Tensor] = []  # batches of images, one per epoch
    labels: list[Tensor] = []  # the ensemble's logits for them
    for epoch in range(1, config.epochs + 1):
        # (1) A new generator is fitted to a batch of images that the ensemble knows.
        network = frozen_network(student, task.spec, task.batch_norm)
        loss = partial(synthesis_loss, task, config, teachers, network)
        images, _ = fitted_batch(task, config, epoch, loss)
        pool.append(images)
        labels.append(mean_logits(teachers, images, task, config.mean))

        # (2) The student learns from the ensemble on all images so far, in random order.
        steps = steps_of_epoch(config.distil_steps, epoch, config.epochs)
        if steps == 0:
            continue
        rng = stream(task.seed, "dense", epoch)
        batches = shuffled_batches(torch.cat(pool), torch.cat(labels), config.batch, steps, rng)
        sgd = partial(momentum, lr=config.student_lr)
        student, curve = distil(student, batches, task, sgd, soften, frozen_norms=False)

    yield Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=partial(drawn_from, torch.cat(pool)),
        probes={
            "before": predictor(start, task),
            "teacher": partial(mean_logits, teachers, task=task, mean=config.mean),
        },
        diagnostics={"distil_loss_end": loss_curve_ends(curve)[1]} if curve else {},
    )


def synthesis_loss(
    task: Task,
    config: Config,
    teachers: list[nn.Module],
    student: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """The generator's loss: weight_bn L_BN + weight_oh L_OH + weight_adv L_adv.

    It is low for images that the ensemble classifies as intended, whose BatchNorm statistics are
    those of the teachers' training data, and on which the student disagrees with the ensemble.

    Args:
        task: gives the precision.
        config: gives the three weights.
        teachers: the clients' frozen networks.
        student: the student's frozen network.
        images: (B, C, S, S), with a gradient to the generator.
        labels: the labels (B,) that the images were drawn for.
    """
    with autocast(task.precision):
        ensemble, mismatch = logits_and_mismatch(teachers, images, config.mean)
        student_logits = student(images).float()

    # L_adv: minus the KL divergence of the images on which the two first choices differ
    disagree = (ensemble.argmax(1) != student_logits.argmax(1)).float()
    log_q = student_logits.log_softmax(1)
    log_p = ensemble.log_softmax(1)
    kl = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    adversarial = (disagree * kl).mean()

    known = F.cross_entropy(ensemble, labels)
    loss = config.weight_bn * mismatch + config.weight_oh * known
    return loss - config.weight_adv * adversarial


def logits_and_mismatch(
    teachers: list[nn.Module], images: Tensor, mean: str = "logits"
) -> tuple[Tensor, Tensor]:
    """The ensemble's logits, and L_BN, both with a gradient to the images.

    Args:
        teachers: the clients' frozen networks.
        images: (B, C, S, S).
        mean: what the ensemble is the mean of, as :func:`mean_of` takes it.

    Returns:
        The ensemble's logits (B, K), and the mean over teachers of the difference between the
        images' statistics and the running ones at their BatchNorm layers (a scalar).
    """
    logits = []
    mismatch = []
    for teacher in teachers:
        with losses.StatisticsMatch(teacher) as statistics:
            logits.append(teacher(images).float())
        mismatch.append(statistics.norms())
    return mean_of(torch.stack(logits), mean), torch.stack(mismatch).mean()
