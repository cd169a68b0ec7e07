"""Parts of methods' FLOPs that several methods have."""

import math
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.planning.client_data import are_here, label_counts, n_images
from benchmarks.planning.network_flops import classifier, cvae, dcgan, flow
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import is_here
from mosaic.fl.synthesis.cvae import CvaeConfig, cvae_config
from mosaic.fl.synthesis.flow import FlowConfig, flow_config
from mosaic.fl.synthesis.labelled import LABELLED
from mosaic.fl.task import Task
from mosaic.image_sources import generator_config


class Part(NamedTuple):
    """A part of what a method computes.

    Attributes:
        name: cells whose parts have the same name share the work, the largest of them; None: it is
            one cell's.
        flops: floating-point operations; a multiply-add counts as two.
        side: what it is for. "local": the local training, which FedAvg has too. "client": what
            clients compute beyond it. "server": what the server computes.
    """

    name: Hashable
    flops: float
    side: str


def at_clients(flops: float, name: Hashable = None) -> Part:
    """What clients compute beyond FedAvg's local training."""
    return Part(name, flops, "client")


def at_server(flops: float) -> Part:
    """What the server computes for one cell."""
    return Part(None, flops, "server")


def own_rounds(task: Task) -> Part:
    """Local training of a method's own, which no other method shares."""
    return Part(None, local_training(task), "local")


def all_clients(task: Task, **gradients: bool) -> float:
    """One image through all clients' models; ``gradients`` as in ``classifier``."""
    total = 0.0
    for client in range(task.n_clients):
        spec = task.spec_at(task.width(client))
        total += classifier(spec, **gradients)
    return total


def classes_of_clients(task: Task) -> int:
    """How many classes the clients have, added up; all of them where the data are not here."""
    if not are_here(task):
        return task.n_clients * task.source.n_classes
    return int((label_counts(task) > 0).sum())


def n_proxy(task: Task, config: Any) -> int:
    """The number of a method's proxy images; the most possible where the data are not here."""
    if config.proxy != "held_out" or not is_here(task.dataset, "train"):
        return config.proxy_size
    return min(config.proxy_size, len(open_federation(task).validation_images))


def server_training(task: Task, images: float) -> float:
    """Steps of the server's model on so many images."""
    return images * classifier(task.spec, weights=True)


def local_training(task: Task) -> float:
    """All clients' local steps of all rounds.

    Where the task counts epochs, the images are those of the data, each client's as many as any
    other's, so that the number is the same for all splits; NaN if the data are not here.
    """
    images_per_round = task.steps * task.batch_size
    if task.epochs:
        if not are_here(task):
            return math.nan
        images_per_round = task.epochs * n_images(task) / task.n_clients
    images_per_client = task.participation * task.rounds * images_per_round
    return images_per_client * all_clients(task, weights=True)


def federated_rounds(task: Task) -> Part:
    """The rounds of FedAvg or FedRolex, which are cached."""
    return Part(("warm_up", task), local_training(task), "local")


def last_models(task: Task) -> Part:
    """The last round of the clients that are absent from it, for all clients' models; cached.

    Counted as local training: a method's budget does not pay for it.
    """
    of_all = local_training(replace(task, rounds=1, participation=1.0))
    return Part(("last_model", task), (1 - task.participation) * of_all, "local")


def independent_training(task: Task) -> Part:
    """Each client alone in all rounds, however many take part in one; cached."""
    flops = local_training(replace(task, participation=1.0))
    return Part(("lone_model", task), flops, "local")


def client_gans(task: Task, config: Any) -> Part:
    """Mosaic's generators at the clients, which are cached.

    Not counted: the discriminator's spectral norms, a few products with a vector per pass, and the
    moving average of the weights. Neither grows with the batch.

    All checkpoints of one chain of generators have the same name.
    """
    source = task.source
    batch_norm = config.discriminator_norm == "batch"
    _, learnt, discriminated = dcgan(
        config.latent, config.ngf, source.channels, source.size, batch_norm
    )

    images = config.generator_steps * config.generator_batch
    flops = images * task.n_clients * (learnt + discriminated)
    judged_steps = math.ceil(config.generator_steps / config.judge_every)
    flops += judged_steps * config.generator_batch * all_clients(task, images=True)
    trained = generator_config(config)
    name = ("client_generator", task, trained)
    if getattr(config, "generator_share", 0):
        name = ("generator_checkpoint", task, replace(trained, generator_steps=0))
    return at_clients(flops, name)


def client_cvaes(task: Task, config: CvaeConfig, n_classes: int) -> Part:
    """The clients' CVAEs, which are cached; ``n_classes`` is 0 for those of a single class."""
    _, learnt = cvae(task, config, n_classes)
    images = task.n_clients * config.cvae_steps * config.cvae_batch
    name = ("client_cvae", n_classes > 0, task.without_models(), cvae_config(config))
    return at_clients(images * learnt, name)


def cvae_drawn(task: Task, config: CvaeConfig, n_classes: int) -> float:
    """An image that a CVAE's decoder draws."""
    drawn, _ = cvae(task, config, n_classes)
    return drawn


def client_flows(task: Task, config: FlowConfig) -> Part:
    """The clients' rectified flows, which are cached."""
    _, learnt = flow(task, config)
    images = task.n_clients * config.flow_steps * config.flow_batch
    name = ("client_flow", task.without_models(), flow_config(config))
    return at_clients(images * learnt, name)


def labelled_generators(task: Task, config: Any) -> tuple[Part, float]:
    """Clients' generators that know the label, and an image that one of them draws."""
    if config.generator == "cvae":
        n_classes = task.source.n_classes
        return client_cvaes(task, config, n_classes), cvae_drawn(task, config, n_classes)
    drawn, _ = flow(task, config)
    return client_flows(task, config), drawn


def client_generators(task: Task, config: Any) -> tuple[Part, float]:
    """Mosaic's generators of any kind at the clients, and an image that one of them draws."""
    if config.generator in LABELLED:
        return labelled_generators(task, config)
    source = task.source
    batch_norm = config.discriminator_norm == "batch"
    drawn, _, _ = dcgan(config.latent, config.ngf, source.channels, source.size, batch_norm)
    return client_gans(task, config), drawn
