"""Mosaic with feedback: images of the clients' generators are sent back to all clients, and those
that lack a class train on them too.

Not published. It takes the clients' generators and label counts, which Mosaic uploads anyway, and
uses them during the rounds, not after them:

1. Each client trains a generator on its own data and uploads it once.
2. The server draws a set in which all classes are equally frequent, and sends it once to everybody.
3. In the remaining rounds each client that lacks a class trains on its own images and on as many of
   the set, of all classes; or with ``mix="complement"`` on those that fill up the classes that it
   lacks. It takes no more steps. The rounds are otherwise those of FedAvg, or of FedRolex where
   widths differ. The windows of rounds before the exchange go once around by themselves.
4. If wanted, the server's model learns from such images at the end.

From others: clients that train on shared images of all clients' generators are SDA-FL's (Li et al.,
2022, ``baselines/sda_fl.py``), and the same with real images is data sharing (Zhao et al., 2018,
``baselines/data_sharing.py``). SDA-FL's clients send images of unconditional GANs, and all of them
train on the whole set with labels that the server guesses anew in each round. New: generators that
know the label, so that a set has its labels and is balanced before there is any model; and the rule
by which only those who lack a class take any. A client that lacks no class trains as in FedAvg, to
the bit, so that nobody can lose where the clients' data are alike.

The generators:
- ``generator="flow"``, the default, is a rectified flow (``fl/synthesis/flow.py``). It needs no
  model of the client and is trained before round 1.
- ``generator="cvae"`` is a conditional VAE in its place. With ``cvae_network="convolutional"`` its
  networks convolve.
- ``generator="dcgan"`` is Mosaic's. Its losses use the client's model, and its images have no
  labels. So ``begin`` must be above 0: the exchange is after that share of the rounds, with the
  clients' models of that time, which also label the images. Three times as many images as are sent
  are drawn, and of each class the first ones are kept; a rare class may stay below its share.

``protocol="oneshot"``: generators up, images down, one local training of the length of all rounds,
models up, and their average. A client that lacks no class then trains as ``local`` does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.client_generators import GeneratorConfig, client_generator
from mosaic.fl.channel import upload
from mosaic.fl.contract import Skip, Snapshot, choice, scaled_steps
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.shared_images import (
    SharedImages,
    class_balanced,
    complement,
    half,
    mixed_shards,
)
from mosaic.fl.data.transforms import to_uint8
from mosaic.fl.errors import InputError
from mosaic.fl.independent import trained_alone
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.stages import Waves, federated_model, waves_of_all_rounds
from mosaic.fl.synthesis.cvae import CvaeConfig
from mosaic.fl.synthesis.flow import FlowConfig
from mosaic.fl.synthesis.labelled import LABELLED, labelled_stages
from mosaic.fl.task import Task
from mosaic.fl.training.distillation import distil, drawn_batches, loss_curve_ends
from mosaic.fl.training.prediction import predictor
from mosaic.image_sources import generator_config
from mosaic.labelled_images import GENERATORS, LABELS, Draw, labelled_source

PAPER = ""
PROTOCOL = "once, before the rounds"
NEEDS = ("label counts", "generators")

CANDIDATES = 3
"""Images drawn for one that is sent, where the images' labels are known only after the draw."""

RULES = {"complement": complement, "half": half}


@dataclass(frozen=True)
class Config(GeneratorConfig, CvaeConfig, FlowConfig):
    """Settings of Mosaic with feedback.

    Those of the clients' GANs are inherited from ``GeneratorConfig``, with ``protocol``; those of
    the CVAEs from ``CvaeConfig``, and of the flows from ``FlowConfig``.
    """

    generator: str = choice("flow", "cvae", "dcgan")  # what clients train
    images: int = 1000  # that the server sends, of all classes
    labels: str = choice(*LABELS)  # who labels them: see labelled_images.py
    # What a client adds if it lacks a class: as many images as it has itself, of all classes; or up
    # to its largest class in each class that it lacks
    mix: str = choice("half", "complement")
    rare: float = 0.0  # a class is lacking up to this share of the client's largest class
    begin: float = 0.0  # share of the rounds before the exchange
    refresh: int = 0  # rounds from one set of images to the next; 0: there is one set
    distil: str = choice("none", "images")  # what the server's model learns from after the rounds
    # the rest is Mosaic's
    distil_steps: int = scaled_steps(1500, "server", batch="distil_batch")
    distil_batch: int = 320
    distil_lr: float = 1e-4

    def __post_init__(self) -> None:
        asks_models = self.labels != "drawn"
        if self.generator == "dcgan" and self.labels not in ("source", "soft"):
            raise InputError(
                f"generator is 'dcgan', whose images have no labels, and labels is {self.labels!r};"
                " set labels to 'source' or 'soft', and begin above 0."
            )
        if asks_models and not 0 < self.begin < 1:
            raise InputError(
                f"labels is {self.labels!r}, which needs the clients' models, and begin is "
                f"{self.begin}; set begin, the share of the rounds before it, between 0 and 1."
            )
        if self.protocol == "oneshot" and (self.begin > 0 or self.refresh > 0):
            raise InputError(
                f"protocol is 'oneshot', with begin {self.begin} and refresh {self.refresh}: "
                "its one exchange is before the training; leave both at 0."
            )


SPACE = {
    "generator": ["flow", "cvae"],
    "mix": ["half", "complement"],
    "rare": (0.0, 1.0),
    "cvae_lr": (1e-4, 1e-2),
    "cvae_kl": (0.1, 10.0),
    "distil_lr": (1e-5, 1e-2),
}
# rare stays 0: above it clients mix where the data are alike too, and no study is at omega 1
TUNED = ("generator", "mix")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds, with the exchange on the way; a snapshot per scored round."""
    # (0) Rounds before the exchange, if any.
    before = task_before(task, config)
    first = before.rounds if config.begin else 0
    for t in range(1, first + 1):
        if task.scored(t):
            yield Snapshot(t, predictor(federated_model(before, t), task))
    server = federated_model(before, first)

    # (1) Each client trains a generator; it uploads that and its label counts.
    shards = open_federation(task).shards
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    ensemble = GENERATORS[config.generator](before, config, label_counts)
    draw = labelled_source(before, ensemble, config.labels)

    # (2), (3) The server's images go to all clients, who train on what they lack of them.
    mixed: Sequence[Shard] = shards
    if config.protocol == "oneshot":
        mixed = exchange(task, config, draw, label_counts, 1)
        clients = (upload(trained_alone(task, s, mixed[s.client])) for s in shards)
        server = average_round(task, server, clients, 0)
    else:
        for t in range(first + 1, task.rounds + 1):
            if is_exchange(config, t - first):
                mixed = exchange(task, config, draw, label_counts, t)
            clients = client_updates(task, server, t, samples=mixed)
            server = average_round(task, server, clients, t)
            if task.scored(t) and t < task.rounds:
                yield Snapshot(t, predictor(server, task))

    # (4) The server's model learns from the generators' images.
    student, numbers = server, {}
    if config.distil == "images":
        student, numbers = distilled(task, config, server, draw)

    adding = [s.size < m.size for s, m in zip(shards, mixed, strict=True)]
    numbers["clients_that_mix"] = sum(adding) / len(adding)
    probes = {"before": predictor(server, task)} if config.distil == "images" else {}
    yield Snapshot(task.rounds, predictor(student, task), ensemble.draw, probes, numbers)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    before = task_before(task, config)
    waves = waves_of_all_rounds(before) if config.begin else []
    if config.generator in LABELLED:
        return [*waves, labelled_stages(config.generator, task, config)]
    generator = partial(client_generator, before, generator_config(config))
    return [*waves, [partial(generator, client) for client in range(task.n_clients)]]


def task_before(task: Task, config: Config) -> Task:
    """The task of the rounds before the exchange; without any, the task itself.

    Raises:
        Skip: If the task has too few rounds to have some before and some after the exchange.
    """
    if config.begin == 0:
        return task
    if task.rounds < 2:
        raise Skip("the exchange is between rounds, and there is one round only: set begin to 0")
    rounds = round(config.begin * task.rounds)
    return replace(task, rounds=min(max(1, rounds), task.rounds - 1))


def is_exchange(config: Config, nth: int) -> bool:
    """Whether images are sent before the nth round, from 1, of those that come after ``begin``."""
    return nth == 1 or (config.refresh > 0 and (nth - 1) % config.refresh == 0)


def exchange(
    task: Task, config: Config, draw: Draw, label_counts: Tensor, t: int
) -> Sequence[Shard]:
    """Send the set of round ``t`` to all clients; what each of them then trains on."""
    shared = shared_set(task, config, draw, label_counts, t)
    rule = partial(RULES[config.mix], rare=config.rare)
    return mixed_shards(task, open_federation(task).shards, shared, rule, t)


def shared_set(
    task: Task, config: Config, draw: Draw, label_counts: Tensor, t: int
) -> SharedImages:
    """The images that are sent before round ``t``.

    All classes that some client has are equally frequent, unless too few images of one are found
    among those that the clients' models label.

    Raises:
        InputError: If there are fewer images than classes.
    """
    n_held = int((label_counts.sum(0) > 0).sum())
    per_class = config.images // n_held
    if per_class == 0:
        raise InputError(
            f"images is {config.images}, and the clients have {n_held} classes; "
            "set it to at least one image per class."
        )

    n = per_class * n_held
    n_drawn = n if config.labels == "drawn" else CANDIDATES * n
    images, labels = draw(n_drawn, stream(task.seed, "feedback", t))
    drawn = SharedImages(to_uint8(images), labels)
    kept = class_balanced(drawn.classes, per_class, label_counts.shape[1]).to(labels.device)
    return SharedImages(drawn.images[kept].contiguous(), labels[kept])


def distilled(
    task: Task, config: Config, server: State, draw: Draw
) -> tuple[State, dict[str, float]]:
    """The server's model after it has learnt from new images of the generators, and the losses."""
    rng = stream(task.seed, "feedback", "distil")
    batches = drawn_batches(lambda n: draw(n, rng), config.distil_steps, config.distil_batch)
    adam = partial(torch.optim.Adam, lr=config.distil_lr, fused=True)
    student, curve = distil(server, batches, task, adam, F.cross_entropy, frozen_norms=True)
    start, end = loss_curve_ends(curve)
    return student, {"distil_loss_start": start, "distil_loss_end": end}
