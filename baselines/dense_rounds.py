"""DENSE in every round: a conditional generator and the clients' average take turns.

This is the DENSE that the DFRD (Luo et al., NeurIPS 2023) and Mosaic studies compare with. Settings
and deviations are in ``dense.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.dense_once import logits_and_mismatch
from mosaic.fl.contract import Snapshot
from mosaic.fl.device import autocast
from mosaic.fl.rng import stream
from mosaic.fl.rounds import (
    average_round,
    client_updates,
    part_of_turn,
    require_all_clients,
    turns_of_round,
)
from mosaic.fl.stages import federated_model
from mosaic.fl.synthesis.conditional import (
    ConditionalGenerator,
    server_generator,
    synthesise,
    train_generator,
    uniform_labels,
)
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, loss_curve_ends
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import mean_logits, teachers_of

if TYPE_CHECKING:  # dense.py imports this file
    from baselines.dense import Config

STEPS_OF_TURN = ("round_generator_steps", "round_student_steps")


def run_every_round(task: Task, config: Config) -> Iterator[Snapshot]:
    """Distil in each round, starting from the clients' average; clients start from the result.

    ``distil_loss_end`` is that of all the student's steps of the round.
    """
    require_all_clients(task)
    server = federated_model(task, 0)
    generator = server_generator(task, config.round_latent, "multiply", config.round_ngf)
    sgd = partial(torch.optim.SGD, lr=config.round_student_lr, weight_decay=1e-4, fused=True)
    soften = partial(unscaled_kl, temperature=config.round_temperature)
    for t in range(1, task.rounds + 1):
        # (1) A round of FedAvg, or of FedRolex where widths differ.
        clients = list(client_updates(task, server, t))
        average = average_round(task, server, clients, t)
        teachers = teachers_of(task, clients)

        # (2) Generator and student take turns.
        server = average
        rng = stream(task.seed, "dense", "round", t)
        curve: list[float] = []
        for share in turns_of_round(config.round_turns, task.rounds, t):
            of_turn = part_of_turn(config, share, *STEPS_OF_TURN)
            student = frozen_network(server, task.spec, task.batch_norm)
            fit_generator(generator, teachers, student, task, of_turn, rng)
            batches = labelled_batches(generator, teachers, task, of_turn, rng)
            server, losses_of_turn = distil(server, batches, task, sgd, soften, frozen_norms=True)
            curve += losses_of_turn

        if task.scored(t):
            diagnostics = {"distil_loss_end": loss_curve_ends(curve)[1]} if curve else {}
            yield Snapshot(
                round=t,
                predict=predictor(server, task),
                synthesise=partial(synthesise, copy.deepcopy(generator), task, config, None),
                probes={
                    "before": predictor(average, task),
                    "teacher": partial(mean_logits, teachers, task=task, mean=config.mean),
                },
                diagnostics=diagnostics,
            )


def fit_generator(
    generator: ConditionalGenerator,
    teachers: list[nn.Module],
    student: nn.Module,
    task: Task,
    config: Config,
    rng: torch.Generator,
) -> None:
    """The generator's steps of a turn, in place.

    It minimises the loss of ``dense_once.synthesis_loss`` with another L_adv, :func:`disagreement`,
    which has no gradient through the student.
    """

    def loss_of(noise: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(task.precision):
            images = generator(noise, labels)
            ensemble, mismatch = logits_and_mismatch(teachers, images, config.mean)
            student_logits = student(images.detach()).float()
        known = F.cross_entropy(ensemble, labels)
        differ = disagreement(ensemble, student_logits, labels, config.round_temperature)
        loss = config.weight_bn * mismatch + config.weight_oh * known
        loss = loss - config.weight_adv * differ
        return loss, loss

    n_classes = task.source.n_classes
    sample = partial(uniform_labels, n_classes, config.round_latent, config.round_batch, rng)
    train_generator(
        generator,
        config.round_generator_steps,
        config.round_generator_lr,
        sample,
        loss_of,
        work=("dense", config, task.spec, generator.size, len(teachers), task.widths),
        advice="round_generator_lr or the weights",
    )


def labelled_batches(
    generator: ConditionalGenerator,
    teachers: list[nn.Module],
    task: Task,
    config: Config,
    rng: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's batches of a turn: images (B, C, S, S) and the ensemble's logits (B, K)."""
    for _ in range(config.round_student_steps):
        images, _ = synthesise(generator, task, config, None, config.round_batch, rng)
        yield images, mean_logits(teachers, images, task, config.mean)


def disagreement(ensemble: Tensor, student: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """KL(student || ensemble), the mean over the samples that exactly one of the two gets right.

    Args:
        ensemble: logits (B, K).
        student: logits (B, K).
        labels: the intended labels (B,).
        temperature: softens both.

    Returns:
        A scalar; 0 where there is no such sample.
    """
    one_right = (ensemble.argmax(1) == labels) != (student.argmax(1) == labels)

    # Elsewhere the student is compared with itself, which adds 0 to the mean over the batch
    compared = torch.where(one_right[:, None], ensemble, student)
    mean_of_all = unscaled_kl(compared, student, temperature)
    return mean_of_all * len(one_right) / one_right.sum().clamp_min(1)


def unscaled_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of softened logits (B, K), batch mean, without the factor T^2."""
    return losses.soft_distillation(student, teacher, temperature) / temperature**2
