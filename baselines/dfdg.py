"""DFDG: two conditional generators at the server learn from the clients to draw images that differ
from each other's; the averaged model learns from both.

Luo et al., DFDG: Data-Free Dual-Generator Adversarial Distillation for One-Shot Federated Learning,
2024, arXiv:2409.07734. It is DFRD's generator (fidelity, transferability, diversity) twice, after
the last round, and each has one more loss, the cross-divergence: the less the clients' predictions
for its images are like those for the other's, the lower.

Differs from the paper and its code (lkyddd/DFDG):
- The teachers are the clients' models of the last of T rounds of FedAvg (FedRolex where widths
  differ), and the student starts from their average, as in the code with ``weight_agg_plus``. With
  one round it is the paper's one-shot method.
- The student keeps the average's BatchNorm statistics, as in ``dfrd``. The code's networks have
  none.
- Where the hard samples of a batch are none, the transferability loss is 0; it is NaN there.
- The clients' predictions for the other generator's images are computed once a turn. The code does
  it in each step, with the same result.
- Label counts are those of the clients' data; the code counts those of the batches.

As in the code, noise and labels are drawn once a turn, for both generators and for all their and
the student's steps, and the penalty of long embeddings is left out. The defaults are those of the
one published command, for SVHN.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.data.federation import open_federation
from mosaic.fl.device import autocast, device
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.rounds import part_of_turn, turns_of_round
from mosaic.fl.stages import Waves, federated_model, final_client_models, waves_of_all_rounds
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
    teacher_logits,
    teachers_of,
)

PAPER = "Luo et al., 2024 (arXiv 2409.07734)"
PROTOCOL = "once, after the rounds"
NEEDS = ("label counts",)
STUDENT = ("average", "kept")


@dataclass(frozen=True)
class Config:
    """Settings of DFDG, the code's published command."""

    # steps of both generators, then of the student; half a turn has half of either's steps
    turns: float = scaled_steps(800, "server", batch="batch")
    generator_steps: int = 20  # per turn and generator
    student_steps: int = 2  # per turn
    batch: int = 64  # images of each generator
    latent: int = 100  # values of a noise vector
    ngf: int = 64  # width of a generator, which has 3.45 M parameters
    generator_lr: float = 2e-4  # Adam, beta1 0.5, starting again in each turn
    beta_tran: float = 1.0  # weight of the transferability loss
    beta_div: float = 1.0  # weight of the diversity loss
    beta_cd: float = 1.0  # weight of the cross-divergence
    pairs: str = choice("all", "same label")  # that the cross-divergence is over; flag condition_
    temperature: float = 10.0  # of all divergences, which are not scaled by its square
    student_lr: float = 0.01  # SGD, momentum 0.9, weight decay 1e-4


SPACE = {
    "beta_tran": (0.0, 2.0),
    "beta_cd": (0.0, 2.0),
    "generator_lr": (1e-5, 1e-2),
    "student_lr": (1e-3, 1.0),
}
TUNED = ("generator_lr", "student_lr")


@dataclass(frozen=True, eq=False)
class Clients:
    """The clients' models as an ensemble: E(x|y) = sum_k w_ky f_k(x).

    Attributes:
        teachers: their frozen networks.
        shares: w (N, K), each client's share of the samples of a class.
    """

    teachers: list[nn.Module]
    shares: Tensor

    def weighted(self, logits: Tensor, labels: Tensor) -> Tensor:
        """E (B, K), of all clients' logits (N, B, K) and the images' labels (B,)."""
        return (self.shares[:, labels, None] * logits).sum(0)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Distil the clients' models after the last round; one snapshot.

    Its ``distil_loss_end`` is that of all the student's steps.
    """
    shards = open_federation(task).shards
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    teachers = teachers_of(task, final_client_models(task))
    clients = Clients(teachers, class_shares(label_counts).to(device()))

    start = federated_model(task, task.rounds)
    student = start
    generators = two_generators(task, config)
    sgd = partial(
        torch.optim.SGD, lr=config.student_lr, momentum=0.9, weight_decay=1e-4, fused=True
    )
    loss = partial(distillation_loss, temperature=config.temperature)
    rng = stream(task.seed, "dfdg")
    curve: list[float] = []
    for share in turns_of_round(config.turns, 1, 1):
        of_turn = part_of_turn(config, share, "generator_steps", "student_steps")
        sample = labels_by_counts(label_counts, config.latent, config.batch, rng)

        # (1) Each generator learns, against the student and the other generator.
        network = frozen_network(student, task.spec, task.batch_norm)
        for own, other in (generators, generators[::-1]):
            fit_generator(own, other, clients, network, sample, task, of_turn)

        # (2) The student learns what the clients say of the images of both.
        batch = labelled_batch(generators, clients, sample, task, config)
        batches = [batch] * of_turn.student_steps
        student, losses_of_turn = distil(student, batches, task, sgd, loss, frozen_norms=True)
        curve += losses_of_turn

    yield Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=partial(drawn_by_both, generators, task, config, label_counts),
        probes={
            "before": predictor(start, task),
            "teacher": partial(mean_logits, teachers, task=task),
        },
        diagnostics={"distil_loss_end": loss_curve_ends(curve)[1]},
    )


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)


def two_generators(task: Task, config: Config) -> list[ConditionalGenerator]:
    """Both generators, which start from different weights."""
    second = replace(task, seed=seed_of(task.seed, "second generator"))
    return [server_generator(t, config.latent, "multiply", config.ngf) for t in (task, second)]


def fit_generator(
    generator: ConditionalGenerator,
    other: ConditionalGenerator,
    clients: Clients,
    student: nn.Module,
    sample: NoiseAndLabels,
    task: Task,
    config: Config,
) -> None:
    """One generator's steps of a turn, in place.

    It minimises L_fid + beta_tran L_tran + beta_div L_div + beta_cd L_cd. L_fid, the ensemble's
    cross entropy, is low where the clients recognise the intended label.
    """
    noise, labels = sample
    images = draw(other, noise, labels, task, config)
    others = clients.weighted(teacher_logits(clients.teachers, images, task), labels)

    def loss_of(noise: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(task.precision):
            code = generator.code(noise, labels)
            images = generator.draw(code)
            logits = clients.weighted(logits_with_gradient(clients.teachers, images), labels)
            student_logits = student(images.detach()).float()
        same_label = labels[:, None] == labels if config.pairs == "same label" else None
        loss = F.cross_entropy(logits, labels)
        loss = loss + config.beta_tran * losses.transferability(
            logits, student_logits, labels, config.temperature
        )
        loss = loss + config.beta_div * losses.noise_collapse(code, images)
        loss = loss + config.beta_cd * cross_divergence(
            logits, others, config.temperature, same_label
        )
        return loss, loss

    train_generator(
        generator,
        config.generator_steps,
        config.generator_lr,
        lambda: sample,
        loss_of,
        work=("dfdg", config, task.spec, generator.size, len(clients.teachers), task.widths),
        advice="generator_lr or the betas",
    )


def cross_divergence(
    own: Tensor, other: Tensor, temperature: float, chosen: Tensor | None = None
) -> Tensor:
    """L_cd = -KL(other || own), the mean over pairs of an image of either generator.

    Args:
        own: the ensemble's logits (B, K) for images of the generator that learns.
        other: the ensemble's logits (B, K) for the other's.
        temperature: softens both.
        chosen: which pairs (B, B) count, the other's image first; by default all.
    """
    log_q = (own / temperature).log_softmax(1)
    log_p = (other / temperature).log_softmax(1)
    p = log_p.exp()
    kl = (p * log_p).sum(1)[:, None] - p @ log_q.T
    if chosen is None:
        return -kl.mean()
    return -(chosen * kl).sum() / chosen.sum()


def labelled_batch(
    generators: list[ConditionalGenerator],
    clients: Clients,
    sample: NoiseAndLabels,
    task: Task,
    config: Config,
) -> tuple[Tensor, Tensor]:
    """The student's batch of a turn: images (2 B, C, S, S) and the ensemble's logits (2 B, K)."""
    noise, labels = sample
    images = torch.cat([draw(generator, noise, labels, task, config) for generator in generators])
    logits = teacher_logits(clients.teachers, images, task)
    return images, clients.weighted(logits, labels.repeat(2))


def distillation_loss(student: Tensor, ensemble: Tensor, temperature: float) -> Tensor:
    """The sum over the two generators of KL(ensemble || student), of logits (2 B, K)."""
    return 2 * losses.soft_distillation(student, ensemble, temperature) / temperature**2


def drawn_by_both(
    generators: list[ConditionalGenerator],
    task: Task,
    config: Config,
    label_counts: Tensor,
    n: int,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """``n`` images (n, C, S, S), half of either generator, and -1 for each: no client drew it."""
    sizes = [n - n // 2, n // 2]
    parts = [
        synthesise(generator, task, config, label_counts, size, rng)
        for generator, size in zip(generators, sizes, strict=True)
        if size
    ]
    return torch.cat([images for images, _ in parts]), torch.cat([by for _, by in parts])
