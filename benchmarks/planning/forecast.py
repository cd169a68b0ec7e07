"""What cells would cost on a GPU, before any of them has run: their floating-point operations at a stated rate.

The FLOPs of one image's way through each network are PyTorch's own count on the meta device; how many images take it
is what the methods' loops say, and stands below. Records of finished cells hold the same sums as they were measured,
and a test compares the two. Left out is what is below a hundredth: averages, meta models, k-means, FedGen's generator
of features, what the harness scores.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.fedavg import at_smallest_width
from benchmarks.planning.cell import Cell
from mosaic.client_generators import GeneratorConfig
from mosaic.fl.data.readers import DATASETS
from mosaic.fl.models.cnn import Spec, resident
from mosaic.fl.synthesis.conditional import ConditionalGenerator, UpsamplingGenerator
from mosaic.fl.synthesis.cvae import cvae_config, pixels
from mosaic.fl.synthesis.dcgan import Generator, discriminator
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import spec_of
from mosaic.method import generator_config

PEAKS = {"RTX 4090": 165e12, "A100": 312e12, "H100 SXM": 989e12}
"""FLOP/s in bfloat16 with float32 sums, dense, as NVIDIA's data sheets state them."""

UTILISATION = 0.1
"""The share of a peak that is reckoned with. An assumption: networks this small rarely keep a GPU busy."""

Part = tuple[Hashable, float]
"""FLOPs, and a name: cells whose parts have the same name share the work."""


def total_flops(cells: Iterable[Cell]) -> float:
    """Of all cells together; what several share counts once. NaN where local training is counted in epochs."""
    shared: dict[Hashable, float] = {}
    for cell in cells:
        for i, (key, flops) in enumerate(PARTS[cell.method](cell.task, cell.config)):
            shared[key or (cell.key, i)] = flops
    return sum(shared.values())


def forecast(cells: Iterable[Cell]) -> pd.DataFrame:
    """A row a data set and one for all: PFLOP, and hours on each GPU."""
    by_dataset: dict[str, list[Cell]] = {}
    for cell in cells:
        by_dataset.setdefault(cell.task.dataset, []).append(cell)
    pflop = {dataset: total_flops(group) / 1e15 for dataset, group in by_dataset.items()}
    table = pd.DataFrame({"PFLOP": pflop | {"all": sum(pflop.values())}})
    return table.assign(**{gpu: table["PFLOP"] * 1e15 / (peak * UTILISATION) / 3600 for gpu, peak in PEAKS.items()})


# --- networks: FLOPs of an image ----------------------------------------------------------------------------------


def passes(network: nn.Module, *inputs: Tensor, weights: bool, images: bool) -> float:
    """FLOPs an item of a pass through a network on the meta device, and of its gradients to weights and inputs."""
    network.requires_grad_(weights)
    inputs = tuple(x.requires_grad_(images) if x.is_floating_point() else x for x in inputs)
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        said = network(*inputs)
        if weights or images:
            said.sum().backward()
    return counter.get_total_flops() / len(inputs[0])


@cache
def classifier(spec: Spec, weights: bool = False, images: bool = False) -> float:
    network = resident(spec, "meta").evaluating("average")
    return passes(network, pair_of(spec.channels, spec.size, spec.size), weights=weights, images=images)


@cache
def dcgan(latent: int, ngf: int, channels: int, size: int, batch_norm: bool) -> tuple[float, float, float]:
    """Of the generator a drawn image, and one that is learnt from; of the discriminator all its passes of a step."""
    with torch.device("meta"):
        G, D = Generator(latent, ngf, channels, size), discriminator(ngf, channels, size, batch_norm)
    z, x = pair_of(latent), pair_of(channels, size, size)
    judged = 2 * passes(D, x, weights=True, images=False) + passes(D, x.detach(), weights=False, images=True)
    drawn, learnt = (passes(G, z.detach(), weights=weights, images=False) for weights in (False, True))
    return drawn, learnt, judged


@cache
def server_generator(kind: str, latent: int, ngf: int, channels: int, size: int, n_classes: int) -> tuple[float, float]:
    """Of a generator at the server: a drawn image, and one that is learnt from."""
    with torch.device("meta"):
        G = (
            UpsamplingGenerator(latent, channels, size)
            if kind == "upsampling"
            else ConditionalGenerator(latent, n_classes, channels, size, kind, ngf)
        )
        inputs = (pair_of(latent), torch.zeros(2, dtype=torch.long))[: 1 if kind == "upsampling" else 2]
    return passes(G, *inputs, weights=False, images=False), passes(G, *inputs, weights=True, images=False)


def pair_of(*shape: int) -> Tensor:
    """Two items on the meta device, where nothing is computed: BatchNorm in training needs more than one."""
    return torch.zeros(2, *shape, device="meta")


def perceptron(*units: int) -> float:
    """A forward pass through linear layers."""
    return sum(2.0 * a * b for a, b in zip(units, units[1:], strict=False))


# --- shared parts -------------------------------------------------------------------------------------------------


def everyone(task: Task, **gradients: bool) -> float:
    """An image through all clients' models."""
    return sum(classifier(spec_of(task, task.width(i)), **gradients) for i in range(task.n_clients))


def teach(task: Task, batch_passes: float) -> float:
    """The server model's steps on so many images."""
    return batch_passes * classifier(spec_of(task), weights=True)


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
    source = DATASETS[task.dataset]
    shape = (config.latent, config.ngf, source.channels, source.size, config.discriminator_norm == "batch")
    _, learnt, judged = dcgan(*shape)
    images = config.generator_steps * config.generator_batch
    network = task.n_clients * (learnt + judged) + everyone(task, images=True)
    return ("client_generator", task, generator_config(config)), images * network


def decoder(task: Task, config, n_classes: int) -> tuple[int, ...]:
    """The units of its layers, from the noise and the label to the pixels."""
    return config.cvae_latent + n_classes, config.cvae_hidden, config.cvae_hidden, pixels(task)


def cvaes(task: Task, config, n_classes: int) -> Part:
    layers = decoder(task, config, n_classes)
    encoder = layers[-1] + n_classes, config.cvae_hidden, config.cvae_hidden, 2 * config.cvae_latent
    step = 3 * perceptron(*layers) + 3 * perceptron(*encoder) - perceptron(*encoder[:2])
    images = task.n_clients * config.cvae_steps * config.cvae_batch
    return ("client_cvae", n_classes > 0, task.without_models(), cvae_config(config)), images * step


# --- methods ------------------------------------------------------------------------------------------------------


def trains(task: Task, config) -> Iterator[Part]:
    """Local steps of its own, and a server that only averages."""
    yield None, local_training(task)


def synthesis(task: Task, config, ahead: float) -> Iterator[Part]:
    """DENSE and Co-Boosting at the end: each epoch fits a batch to all teachers, then passes over all batches so far.

    ``ahead``: what an image of a pass costs before the student sees it.
    """
    yield rounds(task)
    source, images = DATASETS[task.dataset], config.epochs * config.batch
    _, learnt = server_generator("upsampling", config.latent, 0, source.channels, source.size, 0)
    fitted = learnt + everyone(task, images=True) + classifier(spec_of(task), images=True)
    of_passes = images * (config.epochs + 1) / 2
    yield None, images * (config.synthesis_steps * fitted + everyone(task)) + of_passes * ahead + teach(task, of_passes)


def dense(task: Task, config) -> Iterator[Part]:
    if config.protocol == "end":
        return synthesis(task, config, 0.0)
    of_round = {name: getattr(config, f"round_{name}") for name in ("turns", "generator_steps", "student_steps")}
    return in_turns(task, "multiply", config.round_latent, config.round_ngf, config.round_batch, **of_round)


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
    source = DATASETS[task.dataset]
    drawn, learnt = server_generator(kind, latent, ngf, source.channels, source.size, source.n_classes)
    fitted = generator_steps * (learnt + everyone(task, images=True) + classifier(spec_of(task)))
    taught = student_steps * drawers * (drawn + everyone(task) + classifier(spec_of(task), weights=True))
    yield None, task.rounds * turns * batch * (fitted + taught)


def turns_of(config) -> dict[str, int]:
    return {name: getattr(config, name) for name in ("turns", "generator_steps", "student_steps")}


def dfrd(task: Task, config) -> Iterator[Part]:
    drawers = 2 if task.rounds > 1 else 1  # from the second round on the moving average draws too
    shape = ("multiply", config.latent, config.ngf, config.batch)
    return in_turns(task, *shape, **turns_of(config), drawers=drawers)


def fedftg(task: Task, config) -> Iterator[Part]:
    return in_turns(task, "concatenate", config.latent, config.ngf, config.batch, **turns_of(config))


def feddf(task: Task, config) -> Iterator[Part]:
    yield None, local_training(task)
    images = config.steps * config.batch
    yield None, task.rounds * (min(images, config.proxy_size) * everyone(task) + teach(task, images))


def fedcvae(task: Task, config) -> Iterator[Part]:
    n_classes = DATASETS[task.dataset].n_classes
    if config.start == "average":
        yield rounds(task)
    yield cvaes(task, config, n_classes)
    drawn = perceptron(*decoder(task, config, n_classes))
    imitated = config.kd_steps * config.kd_batch * 4 * drawn if config.variant == "kd" else 0.0
    yield None, imitated + config.images * drawn + teach(task, config.classifier_steps * config.classifier_batch)


def federatedfactory(task: Task, config) -> Iterator[Part]:
    yield cvaes(task, config, 0)
    drawn = perceptron(*decoder(task, config, 0))
    yield None, config.images * drawn + teach(task, config.classifier_steps * config.classifier_batch)


def mosaic(task: Task, config) -> Iterator[Part]:
    source, images = DATASETS[task.dataset], config.distil_steps * config.distil_batch
    yield rounds(task) if config.protocol == "rounds" else alone(task)
    if config.generator == "cvae":
        yield cvaes(task, config, source.n_classes)
        drawn = perceptron(*decoder(task, config, source.n_classes))
    else:
        yield gans(task, config)
        drawn = dcgan(config.latent, config.ngf, source.channels, source.size, config.discriminator_norm == "batch")[0]
    experts = source.n_classes * classifier(spec_of(task))
    asked = everyone(task) / task.n_clients if config.teacher == "source" else experts
    yield None, images * (drawn + asked) + teach(task, images)
    yield None, local_training(replace(task, rounds=config.finetune_rounds)) if config.finetune_rounds else 0.0


def centralised(task: Task, config) -> Iterator[Part]:
    """As many steps as all clients together, of the server's model."""
    yield ("pooled_model", task.without_clients(), task.n_clients), local_training(replace(task, widths=()))


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
