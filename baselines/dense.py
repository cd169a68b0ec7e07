"""DENSE: a server-side generator inverts the ensemble of client models; its images teach the global model.

Zhang et al., DENSE: Data-Free One-Shot Federated Learning, NeurIPS 2022, arXiv:2112.12371, Algorithm 1.

Differs from the paper and its code:
- The teachers are the clients' models of the last warm-up round, and the student starts from their average, as DENSE
  is run in the Mosaic and DFRD studies; ``student="random"`` is the paper's.
- L_BN, a mean over teachers, works: the authors find no BatchNorm layer in their plain list of teachers, and get 0.
- Images stay in memory and are labelled by the teachers once: they are not cropped and flipped anew at each pass.
- The student's momentum starts at zero in each epoch. The result is the last epoch's, not the best on the test set.

``protocol="every round"`` is the DENSE of the DFRD and Mosaic studies: a conditional generator that persists and the
average take turns in each round, and the result is broadcast. It differs from their code: L_BN is the one above (their
weight: 0), the student keeps the average's BatchNorm statistics, and where nobody disagrees the loss is 0, not NaN.
"""

import copy
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
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.rounds import average_round, client_updates, require_all_clients
from mosaic.fl.stages import Waves, federated_model, final_client_models, waves_of_all_rounds
from mosaic.fl.synthesis.conditional import ConditionalGenerator
from mosaic.fl.synthesis.upsampling import fitted_batch
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import drawn_from, teacher_logits, teachers_of

PAPER = "Zhang et al., NeurIPS 2022"
PROTOCOL = "once, after the rounds"
NEEDS = ()
STUDENT = {"end": ("config.student", "trained"), "every round": ("average", "kept")}  # by protocol


@dataclass(frozen=True)
class Config:
    protocol: str = choice("end", "every round")
    student: str = choice("average", "random")
    epochs: int = scaled_steps(200, "server")  # each adds one batch to the pool
    synthesis_steps: int = 30  # of the generator and its noise, an epoch
    batch: int = 256
    latent: int = 256
    synthesis_lr: float = 1e-3  # Adam, beta1 0.5
    weight_oh: float = 1.0
    weight_bn: float = 1.0
    weight_adv: float = 1.0
    student_lr: float = 0.005  # SGD, momentum 0.9
    temperature: float = 20.0
    round_turns: int = scaled_steps(
        10, "server"
    )  # a round; a turn is the generator's steps, then the student's
    round_generator_steps: int = 1
    round_student_steps: int = 5
    round_batch: int = 64
    round_latent: int = 100
    round_ngf: int = 64  # 3.45 M parameters
    round_generator_lr: float = 2e-4  # Adam, beta1 0.5, anew in each turn
    round_student_lr: float = 0.01  # SGD, weight decay 1e-4
    round_temperature: float = 10.0  # its KL is not scaled by T^2


SPACE = {
    "weight_bn": (0.01, 10.0),
    "weight_adv": (0.1, 10.0),
    "student_lr": (1e-4, 1e-1),
    "temperature": (1.0, 20.0),
}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    return at_the_end(task, config) if config.protocol == "end" else every_round(task, config)


def stages(task: Task, config: Config) -> Waves:
    return waves_of_all_rounds(task) if config.protocol == "end" else []


def at_the_end(task: Task, config: Config) -> Iterator[Snapshot]:
    """Once, from the models of the last round; at T = 1 it is the paper's one shot."""
    teachers = teachers_of(task, final_client_models(task))
    student = (
        federated_model(task, task.rounds)
        if config.student == "average"
        else initial_model(task.spec, task.seed)
    )
    before, pool, taught = student, [], []
    sgd = partial(torch.optim.SGD, lr=config.student_lr, momentum=0.9, fused=True)
    soften = partial(losses.soft_distillation, temperature=config.temperature)
    for epoch in range(1, config.epochs + 1):
        pupil = frozen_network(student, task.spec, task.batch_norm)
        pool.append(
            fitted_batch(
                task, config, epoch, partial(synthesis_loss, task, config, teachers, pupil)
            )[0]
        )
        taught.append(teacher_logits(teachers, pool[-1], task).mean(0))
        order = torch.randperm(len(pool), generator=stream(task.seed, "dense", epoch)).tolist()
        lesson = ((pool[i], taught[i]) for i in order)
        student, curve = distil(student, lesson, task, sgd, soften, frozen_norms=False)
    drawer, loss = (
        partial(drawn_from, torch.cat(pool)),
        {"distil_loss_end": sum(curve) / len(curve)},
    )
    probes = {
        "before": predictor(before, task),
        "teacher": lambda images: teacher_logits(teachers, images, task).mean(0),
    }
    yield Snapshot(task.rounds, predictor(student, task), drawer, probes, loss)


def synthesis_loss(
    task: Task, config: Config, teachers: list[nn.Module], student: nn.Module, images, target
) -> Tensor:
    """L_BN + L_OH + L_adv of images (B, C, S, S) for the labels (B,): known to the ensemble, not to the student."""
    with autocast(task.precision):
        ensemble, statistics = ask(teachers, images)
        pupil = student(images).float()
    disagree = (ensemble.argmax(1) != pupil.argmax(1)).float()
    kl = F.kl_div(
        pupil.log_softmax(1), ensemble.log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    loss = config.weight_bn * statistics + config.weight_oh * F.cross_entropy(ensemble, target)
    return loss - config.weight_adv * (disagree * kl).mean()


def ask(teachers: list[nn.Module], images: Tensor) -> tuple[Tensor, Tensor]:
    """The ensemble's mean logits (B, K), and the mean over teachers of the mismatch of BatchNorm statistics."""
    logits, mismatch = [], []
    for teacher in teachers:
        with losses.StatisticsMatch(teacher) as statistics:
            logits.append(teacher(images).float())
        mismatch.append(statistics.norms())
    return torch.stack(logits).mean(0), torch.stack(mismatch).mean()


def every_round(task: Task, config: Config) -> Iterator[Snapshot]:
    """In each round, from the clients' average; the next round starts from the result."""
    require_all_clients(task)
    source, server = task.source, federated_model(task, 0)
    shape = (
        config.round_latent,
        source.n_classes,
        source.channels,
        source.size,
        "multiply",
        config.round_ngf,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "server generator"))
        G = ConditionalGenerator(*shape).to(device(), memory_format=torch.channels_last)
    sgd = partial(torch.optim.SGD, lr=config.round_student_lr, weight_decay=1e-4, fused=True)
    soften = partial(unscaled, temperature=config.round_temperature)
    for t in range(1, task.rounds + 1):
        clients = list(client_updates(task, server, t))
        before = server = average_round(task, server, clients, t)
        teachers = teachers_of(task, clients)
        rng, curve = stream(task.seed, "dense", "round", t), [0.0]
        for _ in range(config.round_turns):
            train_generator(
                G, teachers, frozen_network(server, task.spec, task.batch_norm), task, config, rng
            )
            drawn = (
                draw(G, task, config, config.round_batch, rng)[0]
                for _ in range(config.round_student_steps)
            )
            lesson = ((images, teacher_logits(teachers, images, task).mean(0)) for images in drawn)
            server, curve = distil(server, lesson, task, sgd, soften, frozen_norms=True)
        if task.scored(t):
            probes = {
                "before": predictor(before, task),
                "teacher": lambda x, by=teachers: teacher_logits(by, x, task).mean(0),
            }
            drawer, loss = (
                partial(draw, copy.deepcopy(G), task, config),
                {"distil_loss_end": sum(curve) / len(curve)},
            )
            yield Snapshot(t, predictor(server, task), drawer, probes, loss)


def train_generator(
    G, teachers: list[nn.Module], pupil: nn.Module, task: Task, config: Config, rng
) -> None:
    """The generator's steps of a turn, on images that the ensemble knows and on which it and the student differ."""
    adam = torch.optim.Adam(
        G.train().parameters(), lr=config.round_generator_lr, betas=(0.5, 0.999), fused=True
    )
    for _ in range(config.round_generator_steps):
        z = torch.randn(config.round_batch, config.round_latent, generator=rng).to(device())
        target = torch.randint(task.source.n_classes, (len(z),), generator=rng).to(device())
        with metered("dense", config, task.spec, G.size, len(teachers), task.widths, items=len(z)):
            with autocast(task.precision):
                images = G(z, target)
                ensemble, statistics = ask(teachers, images)
                said = pupil(images.detach()).float()
            loss = config.weight_bn * statistics + config.weight_oh * F.cross_entropy(
                ensemble, target
            )
            loss = loss - config.weight_adv * disagreement(
                ensemble, said, target, config.round_temperature
            )
            adam.zero_grad(set_to_none=True)
            loss.backward()
        adam.step()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                "the generator's loss is not finite: lower round_generator_lr or the weights"
            )


def disagreement(ensemble: Tensor, student: Tensor, target: Tensor, T: float) -> Tensor:
    """KL(student || ensemble) of logits (B, K) softened by T, mean over the samples that just one of them knows."""
    one = (ensemble.argmax(1) == target) != (student.argmax(1) == target)
    return (
        unscaled(torch.where(one[:, None], ensemble, student), student, T)
        * len(one)
        / one.sum().clamp_min(1)
    )


def unscaled(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of softened logits, batch mean, without the factor T^2."""
    return losses.soft_distillation(student, teacher, temperature) / temperature**2


@torch.no_grad()
def draw(
    G: nn.Module, task: Task, config: Config, n: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``n`` images (n, C, S, S) of uniform labels; no client's generator drew them (-1)."""
    images = []
    for start in range(0, n, 512):
        z = torch.randn(min(512, n - start), config.round_latent, generator=rng).to(device())
        labels = torch.randint(task.source.n_classes, (len(z),), generator=rng).to(device())
        with metered("draw", config, task.spec, G.size, items=len(z)), autocast(task.precision):
            images.append(G.eval()(z, labels).float())
    return torch.cat(images), torch.full((n,), -1)
