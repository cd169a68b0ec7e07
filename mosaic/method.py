"""Mosaic: data-free knowledge distillation through a mixture of experts.

Mosaic, arXiv 2505.19699. The paper's three phases: (1) clients train generators and state prototypes, (2) the server
builds one expert per class and a meta model over them, (3) the mixture teaches the global model on synthetic images.
Each part's own deviations stand in its file.

Differs from the paper or takes a side where its text and its code differ:
- The warm-up is T rounds of FedAvg (FedRolex where widths differ), and its last models are the experts' material; the
  code runs 300 rounds, then 41 more while it gathers prototypes. Generators, prototypes and counts cross once. With
  ``protocol="oneshot"`` there is no warm-up: clients train alone once and upload once (``clients.py``).
- The teacher is the meta model over the experts, as in the paper; ``teacher`` can be the experts' plain mean, or for
  each image the model of the client whose generator drew it ("source"), which the server knows.
- The loss is soft and hard distillation, as in the text; the code's third term is a field, off by default, and is the
  Jensen-Shannon divergence it is named after.
- The code's 39 rounds of fine-tuning at lr 1e-4 are a field, off by default: the text has none.
- The student's BatchNorm statistics stay as they are, as in the code.
- ``generator="cvae"`` is neither text nor code: each client sends the decoder of a conditional VAE (FedCVAE's part) in
  place of a GAN, so that what the images bring can be told from what the teacher brings.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from torch import Tensor

from mosaic.client_generators import Ensemble, GeneratorConfig, client_generator
from mosaic.diagnostics import diagnostics, probes
from mosaic.experts import class_experts, predictions
from mosaic.fl.cache import LazyModels
from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, added_later, choice, scaled_steps
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import Waves
from mosaic.fl.synthesis.client_cvaes import client_cvae
from mosaic.fl.synthesis.cvae import CvaeConfig, cvae_config
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import predictor
from mosaic.meta_model import train_meta
from mosaic.prototypes import client_prototypes
from mosaic.starting_models import gather
from mosaic.starting_models import stages as of_clients

PAPER = "Mosaic, 2025 (arXiv 2505.19699)"
PROTOCOL = "once, after the rounds"
NEEDS = ("label counts", "generators", "prototypes")
STUDENT = ("average", "kept")


@dataclass(frozen=True)
class Config(GeneratorConfig, CvaeConfig):
    generator: str = choice("dcgan", "cvae")
    k: int = 10  # prototypes a client and class; the code's
    meta: str = choice("linear", "gate", "transformer")  # the code: transformer
    meta_patience: int = added_later(
        20
    )  # epochs without a better loss on held-out prototypes; the code: 150 steps, no stop
    teacher: str = choice("meta", "experts", "source")
    sampling: str = choice("uniform", "size")  # which generator draws an image; the code: uniform
    distil_steps: int = scaled_steps(1500, "server")  # the code's
    distil_batch: int = 320  # 32 of each of ten generators
    distil_lr: float = 1e-4  # Adam; the code's
    weight_soft: float = 0.8  # the code's
    weight_hard: float = 0.2  # the code's
    weight_jsd: float = 0.0  # the code: 1.0
    finetune_rounds: int = 0  # the code: 39
    finetune_lr: float = 1e-4


SPACE = {
    "lambda_e": (0.5, 2.0),
    "lambda_d": (2.0, 10.0),
    "lambda_i": (5.0, 15.0),
    "weight_hard": (0.0, 1.0),
    "distil_lr": (1e-5, 1e-2),
}

Teacher = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W) and the client (B,) whose generator drew each, to logits (B, K)."""


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    federation = open_federation(task)
    clients = gather(task, config.protocol)
    label_counts = torch.stack(
        [upload(shard.label_counts, "counts") for shard in federation.shards]
    )

    # (1) Each client trains a generator and condenses its classes to prototypes; both are uploaded once.
    generators, ensemble = ENSEMBLES[config.generator](task, config, label_counts)
    prototypes = {
        k: torch.cat([p[k] for p in client_prototypes(task, config.k, config.protocol)])
        for k in ("features", "labels", "weights")
    }

    # (2) One expert per class, and a meta model that learns from the prototypes whom to believe.
    experts = class_experts(task, clients, label_counts)
    said = torch.stack([head(expert, prototypes["features"]) for expert in experts], 1)  # (P, E, K)
    meta, learned = train_meta(
        config.meta, said, prototypes, stream(task.seed, "meta"), config.meta_patience
    )
    teachers = {
        "meta": lambda images, _: meta(predictions(experts, task, images)),
        "experts": lambda images, _: predictions(experts, task, images).mean(1),
        "source": partial(source_predictions, clients.models, task),
    }

    # (3) The teacher's knowledge of synthetic images becomes the global model's.
    rng = stream(task.seed, "distil")
    lesson = lessons(
        ensemble, teachers[config.teacher], config.distil_steps, config.distil_batch, rng
    )
    adam = partial(torch.optim.Adam, lr=config.distil_lr, fused=True)
    student, curve = distil(
        clients.server,
        lesson,
        task,
        adam,
        partial(distillation_loss, config=config),
        frozen_norms=True,
    )

    yield Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=ensemble.draw,
        probes=probes(task, clients, experts, meta, config.teacher),
        diagnostics=learned | diagnostics(generators, label_counts, curve),
    )

    # (4) Fine-tuning, where asked for: FedAvg from the distilled model.
    gentle = replace(task, lr=config.finetune_lr)
    for t in range(task.rounds + 1, task.rounds + 1 + config.finetune_rounds):
        student = average_round(gentle, student, client_updates(gentle, student, t), t)
        yield Snapshot(round=t, predict=predictor(student, task))


def stages(task: Task, config: Config) -> Waves:
    cvae = config.generator == "cvae"
    trained = (
        partial(client_cvae, task, cvae_config(config))
        if cvae
        else partial(client_generator, task, generator_config(config))
    )
    generators = [partial(trained, client) for client in range(task.n_clients)]
    return [
        *of_clients(task, config.protocol),
        [*generators, partial(client_prototypes, task, config.k, config.protocol)],
    ]


def gans(task: Task, config: Config, label_counts: Tensor) -> tuple[Sequence[dict], Ensemble]:
    """What each client says of its generator, and all of them as one source of images."""
    generators = LazyModels(
        partial(client_generator, task, generator_config(config)), task.n_clients
    )
    likely = torch.ones(task.n_clients) if config.sampling == "uniform" else label_counts.sum(1)
    return generators, Ensemble(task, config, generators, likely.tolist())


def cvaes(task: Task, config: Config, label_counts: Tensor) -> tuple[list[dict], Decoders]:
    """The same with conditional VAEs: a client's labels are as frequent as in its data."""
    generators = [client_cvae(task, cvae_config(config), i) for i in range(task.n_clients)]
    share = (
        label_counts / label_counts.sum(1, keepdim=True)
        if config.sampling == "uniform"
        else label_counts
    )
    return generators, Decoders(task, config, [g["state"] for g in generators], share)


ENSEMBLES = {"dcgan": gans, "cvae": cvaes}


def generator_config(config: Config) -> GeneratorConfig:
    """What of the configuration determines the generators: the rest does not make them anew."""
    return GeneratorConfig(**{f.name: getattr(config, f.name) for f in fields(GeneratorConfig)})


def head(expert: State, features: Tensor) -> Tensor:
    """An expert's classifier on penultimate features (P, F), to logits (P, K)."""
    return features @ expert["linear.weight"].T + expert["linear.bias"]


def source_predictions(
    clients: Sequence[State], task: Task, images: Tensor, drawn_by: Tensor
) -> Tensor:
    """For each image the logits of the client whose generator drew it, by its own running BatchNorm statistics."""
    task, logits = replace(task, batch_norm="average"), None
    for client in drawn_by.unique().tolist():
        mine = (drawn_by == client).nonzero().flatten()
        said = predictor(clients[client], task, task.width(client))(images[mine])
        logits = said.new_empty(len(images), said.shape[1]) if logits is None else logits
        logits[mine] = said
    return logits


def lessons(
    ensemble: Ensemble | Decoders,
    teacher: Teacher,
    steps: int,
    batch: int,
    rng: torch.Generator,
    at_once: int = 8,
):
    """``steps`` batches of fresh images and the teacher's logits; drawn and labelled ``at_once`` batches at a time."""
    for first in range(0, steps, at_once):
        images, drawn_by = ensemble.draw(batch * min(at_once, steps - first), rng)
        logits = teacher(images, drawn_by)
        yield from zip(images.split(batch), logits.split(batch), strict=True)


def distillation_loss(student: Tensor, teacher: Tensor, config: Config) -> Tensor:
    loss = config.weight_soft * losses.soft_distillation(student, teacher)
    loss = loss + config.weight_hard * losses.hard_distillation(student, teacher)
    return (
        loss + config.weight_jsd * losses.jensen_shannon(student, teacher)
        if config.weight_jsd
        else loss
    )
