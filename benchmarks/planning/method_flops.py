"""FLOPs of each method, from those of its networks."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from baselines.fedavg import at_smallest_width
from benchmarks.planning.network_flops import classifier, dcgan, perceptron, server_generator
from mosaic.client_generators import GeneratorConfig
from mosaic.fl.synthesis.cvae import cvae_config, n_pixels
from mosaic.fl.task import Task
from mosaic.method import generator_config

Part = tuple[Hashable, float]
"""FLOPs, and a name: cells whose parts have the same name share the work."""


def everyone(task: Task, **gradients: bool) -> float:
    """An image through all clients' models."""
    return sum(classifier(task.spec_at(task.width(i)), **gradients) for i in range(task.n_clients))


def teach(task: Task, batch_passes: float) -> float:
    """The server model's steps on so many images."""
    return batch_passes * classifier(task.spec, weights=True)


def local_training(task: Task) -> float:
    """All clients' local steps of all rounds."""
    if task.epochs:
        return math.nan  # how many steps they are is known only with the data
    took_part = task.participation * task.rounds * task.steps * task.batch_size
    return took_part * everyone(task, weights=True)


def rounds(task: Task) -> Part:
    return ("warm_up", task), local_training(task)


def alone(task: Task) -> Part:
    return ("lone_model", task), local_training(task)


def gans(task: Task, config: GeneratorConfig) -> Part:
    source = task.source
    shape = (
        config.latent,
        config.ngf,
        source.channels,
        source.size,
        config.discriminator_norm == "batch",
    )
    _, learnt, judged = dcgan(*shape)
    images = config.generator_steps * config.generator_batch
    network = task.n_clients * (learnt + judged) + everyone(task, images=True)
    return ("client_generator", task, generator_config(config)), images * network


def decoder(task: Task, config, n_classes: int) -> tuple[int, ...]:
    """The units of its layers, from the noise and the label to the pixels."""
    return config.cvae_latent + n_classes, config.cvae_hidden, config.cvae_hidden, n_pixels(task)


def cvaes(task: Task, config, n_classes: int) -> Part:
    layers = decoder(task, config, n_classes)
    encoder = layers[-1] + n_classes, config.cvae_hidden, config.cvae_hidden, 2 * config.cvae_latent
    step = 3 * perceptron(*layers) + 3 * perceptron(*encoder) - perceptron(*encoder[:2])
    images = task.n_clients * config.cvae_steps * config.cvae_batch
    return ("client_cvae", n_classes > 0, task.without_models(), cvae_config(config)), images * step


def trains(task: Task, config) -> Iterator[Part]:
    """Local steps of its own, and a server that only averages."""
    yield None, local_training(task)


def synthesis(task: Task, config, ahead: float) -> Iterator[Part]:
    """DENSE and Co-Boosting at the end: each epoch fits a batch to all teachers, then passes over all batches so far.

    ``ahead``: what an image of a pass costs before the student sees it.
    """
    yield rounds(task)
    source, images = task.source, config.epochs * config.batch
    _, learnt = server_generator("upsampling", config.latent, 0, source.channels, source.size, 0)
    fitted = learnt + everyone(task, images=True) + classifier(task.spec, images=True)
    of_passes = images * (config.epochs + 1) / 2
    yield (
        None,
        images * (config.synthesis_steps * fitted + everyone(task))
        + of_passes * ahead
        + teach(task, of_passes),
    )


def dense(task: Task, config) -> Iterator[Part]:
    if config.protocol == "end":
        return synthesis(task, config, 0.0)
    of_round = {
        name: getattr(config, f"round_{name}")
        for name in ("turns", "generator_steps", "student_steps")
    }
    return in_turns(
        task, "multiply", config.round_latent, config.round_ngf, config.round_batch, **of_round
    )


def coboosting(task: Task, config) -> Iterator[Part]:
    return synthesis(task, config, everyone(task, images=True) + everyone(task))


def in_turns(
    task: Task,
    kind: str,
    latent: int,
    ngf: int,
    batch: int,
    *,
    turns: int,
    generator_steps: int,
    student_steps: int,
    drawers: int = 1,
) -> Iterator[Part]:
    """A generator at the server and its student take turns in each round, both taught by the clients."""
    yield None, local_training(task)
    source = task.source
    drawn, learnt = server_generator(
        kind, latent, ngf, source.channels, source.size, source.n_classes
    )
    fitted = generator_steps * (learnt + everyone(task, images=True) + classifier(task.spec))
    taught = (
        student_steps * drawers * (drawn + everyone(task) + classifier(task.spec, weights=True))
    )
    yield None, task.rounds * turns * batch * (fitted + taught)


def turns_of(config) -> dict[str, int]:
    return {name: getattr(config, name) for name in ("turns", "generator_steps", "student_steps")}


def dfrd(task: Task, config) -> Iterator[Part]:
    drawers = 2 if task.rounds > 1 else 1  # from the second round on the moving average draws too
    shape = ("multiply", config.latent, config.ngf, config.batch)
    return in_turns(task, *shape, **turns_of(config), drawers=drawers)


def fedftg(task: Task, config) -> Iterator[Part]:
    return in_turns(
        task, "concatenate", config.latent, config.ngf, config.batch, **turns_of(config)
    )


def feddf(task: Task, config) -> Iterator[Part]:
    yield None, local_training(task)
    images = config.steps * config.batch
    yield (
        None,
        task.rounds * (min(images, config.proxy_size) * everyone(task) + teach(task, images)),
    )


def fedcvae(task: Task, config) -> Iterator[Part]:
    n_classes = task.source.n_classes
    if config.start == "average":
        yield rounds(task)
    yield cvaes(task, config, n_classes)
    drawn = perceptron(*decoder(task, config, n_classes))
    imitated = config.kd_steps * config.kd_batch * 4 * drawn if config.variant == "kd" else 0.0
    yield (
        None,
        imitated
        + config.images * drawn
        + teach(task, config.classifier_steps * config.classifier_batch),
    )


def federatedfactory(task: Task, config) -> Iterator[Part]:
    yield cvaes(task, config, 0)
    drawn = perceptron(*decoder(task, config, 0))
    yield (
        None,
        config.images * drawn + teach(task, config.classifier_steps * config.classifier_batch),
    )


def mosaic(task: Task, config) -> Iterator[Part]:
    source, images = task.source, config.distil_steps * config.distil_batch
    yield rounds(task) if config.protocol == "rounds" else alone(task)
    if config.generator == "cvae":
        yield cvaes(task, config, source.n_classes)
        drawn = perceptron(*decoder(task, config, source.n_classes))
    else:
        yield gans(task, config)
        drawn = dcgan(
            config.latent,
            config.ngf,
            source.channels,
            source.size,
            config.discriminator_norm == "batch",
        )[0]
    experts = source.n_classes * classifier(task.spec)
    asked = everyone(task) / task.n_clients if config.teacher == "source" else experts
    yield None, images * (drawn + asked) + teach(task, images)
    yield (
        None,
        local_training(replace(task, rounds=config.finetune_rounds))
        if config.finetune_rounds
        else 0.0,
    )


def centralised(task: Task, config) -> Iterator[Part]:
    """As many steps as all clients together, of the server's model."""
    yield (
        ("pooled_model", task.without_clients(), task.n_clients),
        local_training(replace(task, widths=())),
    )


PARTS: dict[str, Callable[[Task, Any], Iterable[Part]]] = {
    "local": lambda task, config: [alone(task)],
    "fedavg": lambda task, config: [rounds(at_smallest_width(task))],
    "fedrolex": lambda task, config: [rounds(task)],
    "ensemble": lambda task, config: [rounds(task)],
    **dict.fromkeys(("fedprox", "fedrs", "fedbn", "scaffold", "heterofl", "fedgen"), trains),
    "fedftg": fedftg,
    "dfrd": dfrd,
    "feddf": feddf,
    "dense": dense,
    "coboosting": coboosting,
    "fedcvae": fedcvae,
    "federatedfactory": federatedfactory,
    "mosaic": mosaic,
    "centralised": centralised,
}
