"""DFRD: each round, a conditional generator at the server and the averaged model take turns to
learn from the clients.

Luo et al., DFRD: Data-Free Robustness Distillation for Heterogeneous Federated Learning, NeurIPS
2023, arXiv:2309.13546, Algorithm 1, with averaging ("+"). The variant in which clients never
download is left out.

Differs from the paper and its code:
- Each client uploads the label counts of its data once. The code counts the labels of the distinct
  batches that the client has drawn.
- The generator's moving average starts equal to the generator, after round 1. In the code it starts
  as (1 - lambda) times the generator.
- Logits of classes that a client lacks are left as they are. ``mask="zero"`` overwrites them with
  0, as the code does.
- Where no sample is hard, the transferability loss is 0. In the code it is a mean over nothing,
  NaN.
- The images of the generator and of its average go through the student as one batch.
- The student keeps the BatchNorm statistics of the clients' average (the code's networks have no
  BatchNorm). With the statistics of the generated images its accuracy fell from 80 to 34 % (digits,
  omega 0.05, 10 rounds of 50 steps).
- Clients weigh n_k, FedRolex's window rolls forwards, and the local loss masks no class, as for all
  methods here.

As in the code: both optimisers start again in each turn; the KL at temperature 10 is not scaled by
T^2; the student is a constant in the transferability loss, whose gradient reaches the generator
through the clients' models.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
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
    NoiseAndLabels,
    draw,
    labels_by_counts,
    server_generator,
    synthesise,
    train_generator,
)
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, loss_curve_ends
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import (
    class_shares,
    logits_with_gradient,
    mean_logits,
    reloaded,
    teacher_logits,
    teachers_of,
)

PAPER = "Luo et al., NeurIPS 2023"
PROTOCOL = "every round"
NEEDS = ("label counts",)
STUDENT = ("average", "kept")

EnsembleOf = Callable[[Tensor, Tensor], Tensor]
"""The ensemble's logits (B, K), from all clients' logits (N, B, K) and the labels (B,)."""


@dataclass(frozen=True)
class Config:
    """Settings of DFRD: the code's defaults, unless a comment says otherwise.

    "README" in a comment: the value of the code's one published command, for SVHN, where it
    differs from the default. With the default of one step per turn, few turns leave the student a
    fifth of the steps that the command gives it.
    """

    # per round: generator steps, then student steps
    turns: float = scaled_steps(10, "server", batch="batch", rounds=100)
    generator_steps: int = 5  # per turn; README: 2
    student_steps: int = 1  # per turn; README: 5
    batch: int = 64
    latent: int = 100  # values of a noise vector; README: 64
    ngf: int = 64  # width of the generator, which has 3.45 M parameters
    generator_lr: float = 2e-4  # Adam, beta1 0.5
    beta_tran: float = 1.0  # weight of the transferability loss
    beta_div: float = 1.0  # weight of the diversity loss
    beta_ey: float = 1.0  # weight of the embeddings' excess length; README: 0.25
    gamma: float = 1.0  # an embedding is free to be gamma sqrt(latent) long
    ema: float = 0.5  # lambda, of the moving average; README's value. The code's default is 0.1
    alpha: float = 0.5  # weight of the images that the generator's moving average draws
    temperature: float = 10.0
    student_lr: float = 0.01  # SGD, weight decay 1e-4
    mask: str = choice("none", "zero")  # of a client's logits of classes that it lacks


SPACE = {
    "beta_tran": (0.0, 2.0),
    "beta_div": (0.0, 2.0),
    "alpha": (0.0, 1.0),
    "generator_lr": (1e-5, 1e-2),
    "student_lr": (1e-3, 1.0),
}
TUNED = ("generator_lr", "student_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedAvg, each followed by data-free distillation at the server.

    ``distil_loss_end`` is that of all the student's steps of the round.
    """
    shards = require_all_clients(task)
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    ensemble = partial(weigh, trust=client_trust(label_counts, config))
    sgd = partial(torch.optim.SGD, lr=config.student_lr, weight_decay=1e-4, fused=True)
    loss = partial(distillation_loss, alpha=config.alpha, temperature=config.temperature)

    server = federated_model(task, 0)
    generator = server_generator(task, config.latent, "multiply", config.ngf)
    generators = [generator]  # joined by its moving average from round 2 on
    teachers: list[nn.Module] = []
    for t in range(1, task.rounds + 1):
        # (1) A round of FedAvg, or of FedRolex where widths differ.
        clients = list(client_updates(task, server, t))
        average = average_round(task, server, clients, t)
        teachers = reloaded(teachers, task, clients)

        # (2) The generator looks for images that the clients know and the student does not; the
        #     student learns them.
        rng = stream(task.seed, "dfrd", t)
        sample = partial(labels_by_counts, label_counts, config.latent, config.batch, rng)
        server = average
        curve: list[float] = []
        diagnostics = {}
        for share in turns_of_round(config.turns, task.rounds, t):
            of_turn = part_of_turn(config, share, "generator_steps", "student_steps")
            student = frozen_network(server, task.spec, task.batch_norm)
            diagnostics["generator_fidelity"] = fit_generator(
                generator, teachers, ensemble, student, sample, task, of_turn
            )
            batches = labelled_batches(generators, teachers, ensemble, sample, task, of_turn)
            server, losses_of_turn = distil(server, batches, task, sgd, loss, frozen_norms=True)
            curve += losses_of_turn

        # (3) The moving average keeps what the generator drew in earlier rounds.
        generators = [generator, blend(generators, config.ema)]
        if task.scored(t):
            if curve:
                diagnostics["distil_loss_end"] = loss_curve_ends(curve)[1]
            # Networks of the snapshot's own: ``teachers`` get other weights in the next round
            of_snapshot = teachers_of(task, clients)
            yield Snapshot(
                round=t,
                predict=predictor(server, task),
                synthesise=partial(
                    synthesise, copy.deepcopy(generator), task, config, label_counts
                ),
                probes={
                    "before": predictor(average, task),
                    "teacher": partial(mean_logits, of_snapshot, task=task),
                },
                diagnostics=diagnostics,
            )


def client_trust(label_counts: Tensor, config: Config) -> Tensor:
    """tau: the clients' weights in the ensemble's logits, by an image's label.

    They are (N, labels, 1), from samples per client and class (N, K); with ``mask="zero"`` they are
    (N, labels, K), and a client's logits of classes that it lacks weigh 0.
    """
    trust = class_shares(label_counts)[:, :, None]
    if config.mask == "zero":
        trust = trust * (label_counts > 0)[:, None, :]
    return trust.to(device())


def weigh(logits: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
    """E(x|y) = sum_k tau_ky f_k(x), (B, K): f is (N, B, K), y (B,) and tau (N, labels, K or 1)."""
    return (trust[:, labels] * logits).sum(0)


def fit_generator(
    generator: ConditionalGenerator,
    teachers: list[nn.Module],
    ensemble: EnsembleOf,
    student: nn.Module,
    sample: Callable[[], NoiseAndLabels],
    task: Task,
    config: Config,
) -> float:
    """The generator's steps of a turn, in place; returns the last step's fidelity loss.

    It minimises L_fid + beta_tran L_tran + beta_div L_div + beta_ey L_ey. L_fid, the ensemble's
    cross entropy, is low where the clients recognise the intended label.
    """

    def loss_of(noise: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(task.precision):
            code = generator.code(noise, labels)
            images = generator.draw(code)
            logits = ensemble(logits_with_gradient(teachers, images), labels)
            student_logits = student(images.detach()).float()
        fidelity = F.cross_entropy(logits, labels)
        transfer = losses.transferability(logits, student_logits, labels, config.temperature)
        embeddings = generator.embedding(labels)
        loss = fidelity + config.beta_tran * transfer
        loss = loss + config.beta_div * losses.noise_collapse(code, images)
        loss = loss + config.beta_ey * excess_length(embeddings, config.gamma)
        return loss, fidelity

    return train_generator(
        generator,
        config.generator_steps,
        config.generator_lr,
        sample,
        loss_of,
        work=("dfrd", config, task.spec, generator.size, len(teachers), task.widths),
        advice="generator_lr or the betas",
    )


def excess_length(embeddings: Tensor, gamma: float) -> Tensor:
    """L_ey: the mean of max(0, ||e||_2 - gamma sqrt(d)) over embeddings e (B, d)."""
    limit = gamma * embeddings.shape[1] ** 0.5
    return F.relu(embeddings.norm(dim=1) - limit).mean()


def labelled_batches(
    generators: list[ConditionalGenerator],
    teachers: list[nn.Module],
    ensemble: EnsembleOf,
    sample: Callable[[], NoiseAndLabels],
    task: Task,
    config: Config,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's batches of a turn: images (G B, C, S, S) and the ensemble's logits (G, B, K).

    Each of the G generators draws one batch.
    """
    for _ in range(config.student_steps):
        # All random numbers of a step are drawn before its first image
        samples = [sample() for _ in generators]
        images = []
        for generator, (noise, labels) in zip(generators, samples, strict=True):
            images.append(draw(generator, noise, labels, task, config))
        logits = []
        for drawn, (_, labels) in zip(images, samples, strict=True):
            logits.append(ensemble(teacher_logits(teachers, drawn, task), labels))
        yield torch.cat(images), torch.stack(logits)


def distillation_loss(
    student: Tensor, ensemble: Tensor, alpha: float, temperature: float
) -> Tensor:
    """KL(ensemble || student) on the generator's batch, plus alpha times that on its average's.

    For G generators, 1 or 2, the student's logits are (G B, K) and the ensemble's (G, B, K).
    """
    of_generators = student.split(ensemble.shape[1])
    terms = [
        losses.soft_distillation(logits, target, temperature) / temperature**2
        for logits, target in zip(of_generators, ensemble, strict=True)
    ]
    return terms[0] + alpha * sum(terms[1:])


@torch.no_grad()
def blend(generators: list[ConditionalGenerator], keep: float) -> ConditionalGenerator:
    """The generator's new moving average, BatchNorm statistics included.

    The list is the generator, and its average where there is one already. The average becomes keep
    times itself plus (1 - keep) times the generator, in place; at first it is a copy.
    """
    if len(generators) == 1:
        return copy.deepcopy(generators[0])
    news = LiveNetwork(generators[0]).state.values()
    averages = LiveNetwork(generators[1]).state.values()
    for average, new in zip(averages, news, strict=True):
        average.lerp_(new, 1 - keep)
    return generators[1]
