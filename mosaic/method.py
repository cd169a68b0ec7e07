"""Mosaic: data-free knowledge distillation through a mixture of experts.

Mosaic, arXiv 2505.19699. The paper's three phases: (1) clients train generators and compute
prototypes, (2) the server builds one expert per class and a meta model over them, (3) the mixture
teaches the global model on synthetic images. Each part's own deviations are listed in its file.

Differs from the paper, or takes a side where its text and its code differ:
- The warm-up is T rounds of FedAvg (FedRolex where widths differ), and its last models are what the
  experts are built from. The code runs 300 rounds, then 41 more while it gathers prototypes.
  Generators, prototypes and counts are uploaded once. With ``protocol="oneshot"`` there is no
  warm-up: clients train alone once and upload once (``starting_models.py``).
- The teacher is the meta model over the experts, as in the paper. ``teacher`` can also be the
  experts' plain mean, the clients' plain mean, or for each image the model of the client whose
  generator drew it ("source"), which the server knows.
- The student's batches have 320 images, whatever the number of clients N, and the generator of each
  image is drawn at random. The code takes 32 of each generator: 32 N in all.
- The loss is soft and hard distillation, as in the text. The code's third term is a field, off by
  default: the Jensen-Shannon divergence it is named after, or what it computes.
- The code's 39 rounds of fine-tuning at lr 1e-4 are a field, off by default: the text has none.
- The student's BatchNorm statistics stay as they are, as in the code.
- ``mosaic-authors`` in the suite ``heterogeneity`` has the code's choices. Left out are the
  generators' own classifier in training mode, images beyond their range and the dropped class 0,
  and prototypes of 41 successive models. The amount of work, fine-tuning too, is the scale's.
- ``generator="cvae"`` is neither in the text nor in the code: each client sends the decoder of a
  conditional VAE (as in FedCVAE) in place of a GAN, so that the effect of the images can be told
  from that of the teacher. So is "flow", a rectified flow.
- ``expert_counts`` and ``meta_data`` take generated images in place of the uploaded label counts
  and of the prototypes (``synthetic_labels.py``).
- ``generator_share`` takes the GANs from a chain of checkpoints (``generator_chain.py``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mosaic.client_generators import GeneratorConfig
from mosaic.diagnostics import diagnostics, probes
from mosaic.experts import class_experts, head, predictions
from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, added_later, choice, scaled_steps
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.fl.label_shares import label_agreement
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import Waves
from mosaic.fl.synthesis.cvae import CvaeConfig
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.flow import FlowConfig
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, drawn_batches
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import clients_mean, mean_of, source_predictions
from mosaic.generator_chain import SHARES, steps_at
from mosaic.generator_ensemble import Ensemble
from mosaic.image_sources import ENSEMBLES, client_stages
from mosaic.meta_model import LR, train_meta
from mosaic.prototypes import client_prototypes, joined
from mosaic.starting_models import gather
from mosaic.starting_models import stages as starting_stages
from mosaic.synthetic_labels import META_DATA, generated_counts, meta_data, meta_examples

PAPER = "Mosaic, 2025 (arXiv 2505.19699)"
PROTOCOL = "once, after the rounds"
NEEDS = ("label counts", "generators", "prototypes")
STUDENT = ("average", "kept")

THIRD_LOSSES = {
    "jensen_shannon": losses.jensen_shannon,
    "bhattacharyya": losses.bhattacharyya,
}


@dataclass(frozen=True)
class Config(GeneratorConfig, CvaeConfig, FlowConfig):
    """Settings of Mosaic. Those of the clients' generators are inherited.

    From ``GeneratorConfig`` (``client_generators.py``, which gives the sources of the defaults):
        protocol: "rounds" or "oneshot": what the server starts from.
        latent: values of the GAN's noise vector.
        ngf: width of the GAN.
        generator_steps: steps of a client's GAN; scaled.
        generator_batch: images per step.
        generator_lr: Adam's learning rate, for generator and discriminator.
        discriminator_norm: "none", "batch" or "spectral".
        discriminator_lr: the discriminator's own learning rate; 0: generator_lr.
        ema: the past's weight in the average of the GAN's weights that is uploaded; 0: the last.
        lambda_e: weight of the entropy loss.
        lambda_d: weight of the diversity loss.
        lambda_i: weight of the inversion loss.
        diversity: wanted frequency of classes, the client's "shares" or "uniform".
        tau: the inversion loss is for clients with fewer samples than this.
        judge_every: the losses of the client's model are computed in every so many-th step.

    From ``CvaeConfig`` (``fl/synthesis/cvae.py``), in use with ``generator="cvae"`` only:
        cvae_latent: values of the noise vector.
        cvae_hidden: units of each hidden layer.
        cvae_steps: steps of a client's CVAE; scaled.
        cvae_batch: images per step.
        cvae_lr: Adam's learning rate.
        cvae_kl: weight of the KL term.
        cvae_truncation: noise is drawn from a normal law that is cut off at this value.
        cvae_network: "perceptron" or "convolutional".
        cvae_width: channels of the convolutional network.

    From ``FlowConfig`` (``fl/synthesis/flow.py``), in use with ``generator="flow"`` only:
        flow_hidden, flow_steps, flow_batch, flow_lr, flow_euler: see there.
    """

    generator: str = choice("dcgan", "cvae", "flow")  # what clients train; the paper: dcgan
    k: int = 10  # prototypes per client and class; the code's
    # BatchNorm where prototypes are embedded: running statistics, as in the code, or the task's
    # policy; with those of a batch a prototype depends on the client's other images
    prototype_norm: str = choice("average", "task")
    meta: str = choice("linear", "gate", "transformer", "ridge")  # the code: transformer
    meta_patience: int = 20  # epochs without a gain
    meta_lr: float = LR  # Adam; the code: 1e-3
    # 0: training ends by meta_patience; else it is the code's, of so many steps; the code: 150
    meta_steps: int = 0
    meta_seed: int = 0  # of the meta model's start, held-out prototypes and batches
    meta_order: int = 0  # of the sums over a prototype's features; 0: as they are
    teacher: str = choice("meta", "experts", "source", "clients")  # the paper: meta
    mean: str = choice("logits", "probabilities")  # of the teachers "experts" and "clients"
    sampling: str = choice("uniform", "size")  # which generator draws an image; the code: uniform
    distil_steps: int = scaled_steps(1500, "server", batch="distil_batch")  # the code's
    distil_batch: int = 320  # the code: 32 x N, so many for ten clients
    distil_lr: float = 1e-4  # Adam; the code's
    weight_soft: float = 0.8  # of soft distillation; the code's
    weight_hard: float = 0.2  # of hard distillation; the code's
    weight_jsd: float = 0.0  # of the third loss; the code: 1.0
    third_loss: str = choice(*THIRD_LOSSES)  # the code: bhattacharyya
    finetune_rounds: int = 0  # of FedAvg after the distillation; the code: 39
    finetune_lr: float = 1e-4
    # 0: generator_steps in one training. Else generator_steps, whatever was given, is this share of
    # the paper's, and the GANs come from a chain of checkpoints (generator_chain.py)
    generator_share: float = added_later(0.0, *SHARES)
    # Whose label counts weigh the experts: the clients' own, or those of their generated images
    expert_counts: str = added_later("uploaded", "generated")
    meta_data: str = added_later(*META_DATA)  # what the meta model learns from

    def __post_init__(self) -> None:
        if not self.generator_share:
            return
        if self.generator != "dcgan":
            raise InputError(
                f"generator_share is {self.generator_share}, but generator is {self.generator!r}; "
                "there are checkpoints of 'dcgan' only: set generator to 'dcgan', or "
                "generator_share to 0."
            )
        steps = steps_at(self.generator_share, self.generator_batch)
        object.__setattr__(self, "generator_steps", steps)


SPACE = {
    "lambda_e": (0.5, 2.0),
    "lambda_d": (2.0, 10.0),
    "lambda_i": (5.0, 15.0),
    "weight_hard": (0.0, 1.0),
    "generator_lr": (1e-5, 1e-2),
    "distil_lr": (1e-5, 1e-2),
    "meta": ["linear", "gate", "ridge"],
    "discriminator_norm": ["none", "spectral"],
    "ema": [0.0, 0.9, 0.99],
    "judge_every": [1, 2, 4],
}
TUNED = ("generator_lr", "distil_lr", "meta")

Teacher = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W) and the client (B,) whose generator drew each, to logits (B, K)."""


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run Mosaic after the warm-up; one snapshot, and one per round of fine-tuning."""
    clients = gather(task, config.protocol)
    shards = open_federation(task).shards
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])

    # (1) Each client trains a generator and computes prototypes of its classes; both are uploaded
    # once.
    generators, ensemble = ENSEMBLES[config.generator](task, config, label_counts)
    prototypes = joined(client_prototypes(task, config.k, config.protocol, config.prototype_norm))

    # (2) One expert per class, and a meta model that learns from the prototypes to combine them.
    source = partial(source_predictions, clients.models, task)
    weighing, agreement = label_counts, {}
    if config.expert_counts == "generated":
        weighing = generated_counts(task, ensemble.draw, source, label_counts.sum(1))
        agreement = label_agreement(weighing, label_counts.cpu())
    experts = class_experts(task, clients, weighing)
    heads = [head(expert, prototypes["features"], config.meta_order) for expert in experts]
    drawn = partial(meta_examples, task, config.meta_data, experts, ensemble.draw, source)
    logits, labelled = meta_data(config.meta_data, torch.stack(heads, 1), prototypes, drawn)
    meta, meta_numbers = train_meta(
        config.meta,
        logits,
        labelled,
        stream(task.seed, "meta", config.meta_seed),
        config.meta_patience,
        config.meta_lr,
        config.meta_steps,
    )
    teachers: dict[str, Teacher] = {
        "meta": lambda images, _: meta(predictions(experts, task, images)),
        "experts": lambda images, _: mean_of(predictions(experts, task, images), config.mean, 1),
        "clients": lambda images, _: clients_mean(clients.models, task, config.mean)(images),
        "source": source,
    }

    # (3) The global model learns the teacher's logits for synthetic images.
    batches = labelled_batches(
        ensemble,
        teachers[config.teacher],
        config.distil_steps,
        config.distil_batch,
        stream(task.seed, "distil"),
    )
    adam = partial(torch.optim.Adam, lr=config.distil_lr, fused=True)
    loss = partial(distillation_loss, config=config)
    student, curve = distil(clients.server, batches, task, adam, loss, frozen_norms=True)

    snapshot = Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=ensemble.draw,
        probes=probes(task, clients, experts, meta, config.teacher, config.mean),
        diagnostics=meta_numbers | diagnostics(generators, weighing, curve) | agreement,
    )
    yield snapshot
    yield from fine_tuned(task, config, student, snapshot)


def fine_tuned(
    task: Task, config: Config, student: State, snapshot: Snapshot
) -> Iterator[Snapshot]:
    """(4) FedAvg from the distilled model, for ``finetune_rounds`` rounds at ``finetune_lr``.

    The images, probes and diagnostics of each round are those of the distillation's snapshot,
    because the record takes them from the last one.
    """
    gentle = replace(task, lr=config.finetune_lr)
    first = task.rounds + 1
    for t in range(first, first + config.finetune_rounds):
        student = average_round(gentle, student, client_updates(gentle, student, t), t)
        yield replace(snapshot, round=t, predict=predictor(student, task))


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    of_prototypes = (config.k, config.protocol, config.prototype_norm)
    prototypes = partial(client_prototypes, task, *of_prototypes)
    *earlier, last_wave = client_stages(task, config)
    return [*starting_stages(task, config.protocol), *earlier, [*last_wave, prototypes]]


def labelled_batches(
    ensemble: Ensemble | Decoders, teacher: Teacher, steps: int, batch: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's batches: new images, and the teacher's logits for them.

    Args:
        ensemble: the source of images.
        teacher: the source of logits.
        steps: number of batches.
        batch: images per batch.
        rng: source of the images' randomness.
    """

    def draw(n: int) -> tuple[Tensor, Tensor]:
        images, drawn_by = ensemble.draw(n, rng)
        return images, teacher(images, drawn_by)

    return drawn_batches(draw, steps, batch)


def distillation_loss(student: Tensor, teacher: Tensor, config: Config) -> Tensor:
    """weight_soft L_soft + weight_hard L_hard + weight_jsd L_third, of logits (B, K)."""
    loss = config.weight_soft * losses.soft_distillation(student, teacher)
    loss = loss + config.weight_hard * losses.hard_distillation(student, teacher)
    if config.weight_jsd:
        loss = loss + config.weight_jsd * THIRD_LOSSES[config.third_loss](student, teacher)
    return loss
