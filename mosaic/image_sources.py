"""Mosaic's synthetic images: which generators the clients train, and all of them as one source."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mosaic.client_generators import GeneratorConfig, client_generator
from mosaic.fl.lazy_models import LazyModels
from mosaic.fl.stages import Waves
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.labelled import LABELLED, labelled_stages, uploaded_generators
from mosaic.fl.task import Task
from mosaic.generator_chain import chained_generator, checkpoint_waves
from mosaic.generator_ensemble import Ensemble


def generator_config(config: GeneratorConfig) -> GeneratorConfig:
    """The settings that determine the GANs: a change of any other keeps the cached ones valid."""
    return GeneratorConfig(**{f.name: getattr(config, f.name) for f in fields(GeneratorConfig)})


def client_stages(task: Task, config: Any) -> Waves:
    """The stages that :func:`gans` or :func:`labelled` calls; the last wave has one per client."""
    if config.generator in LABELLED:
        return [labelled_stages(config.generator, task, config)]

    waves: Waves = []
    if config.generator_share:
        waves += checkpoint_waves(task, generator_config(config))
    generator = partial(gan_stage(config), task, generator_config(config))
    return [*waves, [partial(generator, client) for client in range(task.n_clients)]]


def gan_stage(config: Any) -> Callable[..., dict]:
    """The stage that a client's GAN comes from."""
    return chained_generator if config.generator_share else client_generator


def gans(task: Task, config: Any, label_counts: Tensor) -> tuple[Sequence[dict], Ensemble]:
    """The clients' GANs.

    Args:
        task: the federated problem.
        config: Mosaic's settings.
        label_counts: samples per client and class (N, K).

    Returns:
        What ``client_generator`` returns per client, and all generators as one source of images.
    """
    generator = partial(gan_stage(config), task, generator_config(config))
    generators = LazyModels(generator, task.n_clients)
    probabilities = torch.ones(task.n_clients)
    if config.sampling == "size":
        probabilities = label_counts.sum(1)
    return generators, Ensemble(task, config, generators, probabilities.tolist())


def labelled(
    kind: str, task: Task, config: Any, label_counts: Tensor
) -> tuple[list[dict], Decoders]:
    """The clients' generators of a kind that knows the label, as ``gans``: labels are as frequent
    as in the client's data."""
    generators = uploaded_generators(kind, task, config)
    weights = label_counts
    if config.sampling == "uniform":
        weights = label_counts / label_counts.sum(1, keepdim=True)
    states = [generator["state"] for generator in generators]
    return generators, Decoders(task, LABELLED[kind].settings(config), states, weights)


ENSEMBLES = {"dcgan": gans} | {kind: partial(labelled, kind) for kind in LABELLED}
