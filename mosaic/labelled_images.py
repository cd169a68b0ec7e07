"""The clients' generators as a source of labelled images, whoever labels them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mosaic.client_generators import GeneratorConfig, client_generator
from mosaic.fl.lazy_models import LazyModels
from mosaic.fl.stages import final_client_models
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.labelled import LABELLED, uploaded_generators
from mosaic.fl.task import Task
from mosaic.fl.training.teachers import source_predictions
from mosaic.generator_ensemble import Ensemble
from mosaic.image_sources import generator_config

LABELS = ("drawn", "source", "soft", "agreed")
"""Who labels an image: the label that it was drawn for; the client whose generator drew it, by its
prediction ("source") or by its probabilities ("soft"); or the first two, and images on which they
differ are left out ("agreed")."""

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""``draw(n, rng)``: images (m, C, S, S) in [-1, 1], m <= n, and their labels (m,) or (m, K)."""


def labelled_source(task: Task, ensemble: Any, labels: str) -> Draw:
    """A source of labelled images.

    Args:
        task: The task whose last clients' models label, if they do.
        ensemble: ``Decoders``, or an ``Ensemble``, whose images have no label of their own.
        labels: One of :data:`LABELS`.
    """
    if labels == "drawn":
        return lambda n, rng: ensemble.draw_labelled(n, rng)[:2]
    models = final_client_models(task)

    def draw(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        if labels == "agreed":
            images, drawn_for, drawn_by = ensemble.draw_labelled(n, rng)
            found = source_predictions(models, task, images, drawn_by).argmax(1)
            agreed = found == drawn_for
            return images[agreed], found[agreed]
        images, drawn_by = ensemble.draw(n, rng)
        logits = source_predictions(models, task, images, drawn_by)
        return images, logits.softmax(1) if labels == "soft" else logits.argmax(1)

    return draw


def decoders(kind: str, task: Task, config: Any, label_counts: Tensor) -> Decoders:
    """The clients' generators that know the label, as one source with equally frequent classes."""
    states = [trained["state"] for trained in uploaded_generators(kind, task, config)]
    settings = LABELLED[kind].settings(config)
    return Decoders(task, settings, states, label_counts, balanced=True)


def gans(task: Task, config: GeneratorConfig, label_counts: Tensor) -> Ensemble:
    """The clients' GANs as one source of images, each client as often as any other."""
    generator = partial(client_generator, task, generator_config(config))
    return Ensemble(task, config, LazyModels(generator, task.n_clients), [1.0] * task.n_clients)


GENERATORS = {"dcgan": gans} | {kind: partial(decoders, kind) for kind in LABELLED}
