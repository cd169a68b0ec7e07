"""DFRD: each round, a conditional generator at the server and the averaged model take turns to learn from the clients.

Luo et al., DFRD: Data-Free Robustness Distillation for Heterogeneous Federated Learning, NeurIPS 2023,
arXiv:2309.13546, Algorithm 1, with averaging ("+"); the variant where clients never download is left out.

Differs from the paper and its code:
- Each client uploads the label counts of its data once; the code counts those of the distinct batches it has seen.
- The generator's moving average starts equal to it, after round 1; in the code it starts as (1 - lambda) of it.
- Logits of classes that a client lacks are left as they are; ``mask="zero"`` overwrites them with 0, as the code does.
- Where no sample is hard, the transferability loss is 0; in the code it is the mean over nothing, NaN.
- The images of the generator and of its average go through the student as one batch.
- The student keeps the BatchNorm statistics of the clients' average (the code's networks have none): those of the
  synthetic images took it from 80 to 34 % (digits, omega 0.05, 10 rounds of 50 steps).
- Clients weigh n_k, FedRolex's window rolls forwards, the local loss masks no class: as for all methods here.

As in the code: both optimisers begin anew at each turn; KL at temperature 10 is not scaled by T^2; the student is a
constant in the transferability loss, whose gradient reaches the generator through the clients' models.
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
from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.rounds import average_round, client_updates, require_all_clients
from mosaic.fl.stages import federated_model
from mosaic.fl.synthesis.conditional import ConditionalGenerator
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import (
    class_shares,
    logits_with_gradient,
    teacher_logits,
    teachers_of,
)

PAPER = "Luo et al., NeurIPS 2023"
PROTOCOL = "every round"
NEEDS = ("label counts",)
STUDENT = ("average", "kept")


@dataclass(frozen=True)
class Config:
    # The code's defaults; "README": where its one published command, for SVHN, differs
    turns: int = scaled_steps(
        10, "server"
    )  # a round; a turn is the generator's steps, then the student's
    generator_steps: int = 5  # README: 2
    student_steps: int = 1  # README: 5
    batch: int = 64
    latent: int = 100  # README: 64
    ngf: int = 64  # 3.45 M parameters
    generator_lr: float = 2e-4  # Adam, beta1 0.5
    beta_tran: float = 1.0
    beta_div: float = 1.0
    beta_ey: float = 1.0  # README: 0.25
    gamma: float = 1.0  # an embedding may be gamma sqrt(latent) long
    ema: float = 0.5  # lambda; README's. The code's default 0.1 hardly remembers
    alpha: float = 0.5  # weight of what the generator's moving average draws
    temperature: float = 10.0
    student_lr: float = 0.01  # SGD, weight decay 1e-4
    mask: str = choice("none", "zero")


SPACE = {
    "beta_tran": (0.0, 2.0),
    "beta_div": (0.0, 2.0),
    "alpha": (0.0, 1.0),
    "student_lr": (1e-3, 1.0),
}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    label_counts = torch.stack(
        [upload(shard.label_counts, "counts") for shard in require_all_clients(task)]
    )
    tau = class_shares(label_counts)[
        :, :, None
    ]  # (N, K, 1): how far to trust a client on images of label y
    E = partial(
        weigh,
        trust=(tau * (label_counts > 0)[:, None, :] if config.mask == "zero" else tau).to(device()),
    )
    sgd = partial(torch.optim.SGD, lr=config.student_lr, weight_decay=1e-4, fused=True)
    soften = partial(distillation_loss, alpha=config.alpha, temperature=config.temperature)
    server, teachers, G, memory = federated_model(task, 0), [], new_generator(task, config), None
    for t in range(1, task.rounds + 1):
        # (1) A round of FedAvg, or of FedRolex where widths differ; the teachers' networks stay and get new weights.
        clients = list(client_updates(task, server, t))
        before = server = average_round(task, server, clients, t)
        teachers = teachers or teachers_of(task, clients)
        for teacher, state in zip(teachers, clients, strict=True):
            LiveNetwork(teacher).load(state)

        # (2) The generator looks for images that the clients know and the student does not; the student learns them.
        fresh = partial(
            noise_and_labels,
            label_counts,
            config.latent,
            config.batch,
            stream(task.seed, "dfrd", t),
        )
        curve, fidelity = [], float("nan")
        for _ in range(config.turns):
            pupil = frozen_network(server, task.spec, task.batch_norm)
            fidelity = train_generator(G, teachers, E, pupil, fresh, task, config)
            lesson = lessons([G, memory] if memory else [G], teachers, E, fresh, task, config)
            server, curve = distil(server, lesson, task, sgd, soften, frozen_norms=True)

        # (3) What the generator drew in earlier rounds is not forgotten.
        memory = blend(memory, G, config.ema) if memory else copy.deepcopy(G)
        if task.scored(t):
            now = teachers_of(task, clients)  # the others get new weights when the method goes on
            yield Snapshot(
                round=t,
                predict=predictor(server, task),
                synthesise=partial(synthesise, copy.deepcopy(G), label_counts, task, config),
                probes={
                    "before": predictor(before, task),
                    "teacher": lambda x, of=now: teacher_logits(of, x, task).mean(0),
                },
                diagnostics={"generator_fidelity": fidelity, "distil_loss_end": curve[-1]}
                if curve
                else {},
            )


def weigh(logits: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
    """E(x|y) = sum_k tau_ky f_k(x), (B, K), of the clients' logits (N, B, K) by trust (N, labels, K or 1)."""
    return (trust[:, labels] * logits).sum(0)


def new_generator(task: Task, config: Config) -> ConditionalGenerator:
    source = task.source
    shape = (config.latent, source.n_classes, source.channels, source.size, "multiply", config.ngf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "server generator"))
        return ConditionalGenerator(*shape).to(device(), memory_format=torch.channels_last)


def noise_and_labels(
    label_counts: Tensor, latent: int, n: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Noise (n, Z) and labels (n,), each label as likely as it is frequent among all clients' samples."""
    z = torch.randn(n, latent, generator=rng)
    labels = torch.multinomial(label_counts.sum(0).double(), n, replacement=True, generator=rng)
    return z.to(device()), labels.to(device())


def train_generator(
    G, teachers, E: Callable, pupil: nn.Module, fresh: Callable, task: Task, config: Config
) -> float:
    """The generator's steps of a turn; returns the last one's fidelity loss."""
    adam = torch.optim.Adam(
        G.train().parameters(), lr=config.generator_lr, betas=(0.5, 0.999), fused=True
    )
    for _ in range(config.generator_steps):
        z, labels = fresh()
        with metered("dfrd", config, task.spec, G.size, len(teachers), task.widths, items=len(z)):
            with autocast(task.precision):
                code = G.code(z, labels)
                images = G.draw(code)
                said = E(logits_with_gradient(teachers, images), labels)
                pupil_said = pupil(images.detach()).float()
            fidelity = F.cross_entropy(said, labels)
            loss = fidelity + config.beta_tran * transferability(
                said, pupil_said, labels, config.temperature
            )
            loss = loss + config.beta_div * losses.noise_collapse(code, images)
            loss = loss + config.beta_ey * excess_length(G.embedding(labels), config.gamma)
            adam.zero_grad(set_to_none=True)
            loss.backward()
        adam.step()
    if not torch.isfinite(loss):
        raise FloatingPointError(
            "the generator's loss is not finite: lower generator_lr or the betas"
        )
    return fidelity.item()


def transferability(said: Tensor, pupil: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """-KL(pupil || ensemble) of softened logits (B, K), mean over where the ensemble is right and the pupil wrong."""
    hard = (said.argmax(1) == labels) & (pupil.argmax(1) != labels)
    log_p, log_q = (pupil / temperature).log_softmax(1), (said / temperature).log_softmax(1)
    return -(
        hard * F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    ).sum() / hard.sum().clamp_min(1)


def excess_length(embeddings: Tensor, gamma: float) -> Tensor:
    """Mean of max(0, ||e||_2 - gamma sqrt(d)) over embeddings (B, d)."""
    return F.relu(embeddings.norm(dim=1) - gamma * embeddings.shape[1] ** 0.5).mean()


def lessons(
    drawers: list[nn.Module], teachers, E: Callable, fresh: Callable, task: Task, config: Config
):
    """The student's steps of a turn: a batch of each drawer, one below the other, and the ensemble's logits of each."""
    for _ in range(config.student_steps):
        batches = [fresh() for _ in drawers]
        images = [
            draw(network, *batch, task, config)
            for network, batch in zip(drawers, batches, strict=True)
        ]
        said = [
            E(teacher_logits(teachers, x, task), labels)
            for x, (_, labels) in zip(images, batches, strict=True)
        ]
        yield torch.cat(images), torch.stack(said)


def distillation_loss(student: Tensor, said: Tensor, alpha: float, temperature: float) -> Tensor:
    """KL(E || student) on the generator's batch, and alpha times that on its average's; ``said`` is (1 or 2, B, K)."""
    pairs = zip(student.split(said.shape[1]), said, strict=True)
    now, *then = (losses.soft_distillation(*pair, temperature) / temperature**2 for pair in pairs)
    return now + alpha * sum(then)


@torch.no_grad()
def draw(G: nn.Module, z: Tensor, labels: Tensor, task: Task, config: Config) -> Tensor:
    """Images (B, C, S, S) of a generator in eval mode."""
    with metered("draw", config, task.spec, G.size, items=len(z)), autocast(task.precision):
        return G.eval()(z, labels).float()


@torch.no_grad()
def blend(memory: nn.Module, G: nn.Module, keep: float) -> nn.Module:
    """keep memory + (1 - keep) G, in place, BatchNorm statistics included."""
    for old, new in zip(
        LiveNetwork(memory).state.values(), LiveNetwork(G).state.values(), strict=True
    ):
        old.lerp_(new, 1 - keep)
    return memory


def synthesise(
    G, label_counts, task: Task, config: Config, n: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``n`` images (n, C, S, S); no client's generator drew them (-1)."""
    parts = zip(
        *(x.split(512) for x in noise_and_labels(label_counts, config.latent, n, rng)), strict=True
    )
    return torch.cat([draw(G, *part, task, config) for part in parts]), torch.full((n,), -1)
