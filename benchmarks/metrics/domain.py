"""The domain classifier: FID, IS and KID are always measured over its features."""

import functools

from torch import Tensor

from benchmarks.metrics.fidelity import Extractor, Reference, reference
from benchmarks.metrics.inception import inception
from mosaic.fl.cache import stage
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.device import device
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import frozen_network
from mosaic.fl.training.sgd import train

DOMAIN_STEPS = 2000
DOMAIN_BATCH = 64
DOMAIN_LR = 0.05

Scored = tuple[Extractor, Reference]
"""An extractor of features, and what real test images score over them."""


def references(task: Task, weights: str, n: int) -> list[Scored]:
    """Return what the generated images of a task are scored over.

    Args:
        task: its data set, precision and threads count.
        weights: Inception's, as in :func:`benchmarks.metrics.inception.inception`.
        n: images on each side; fewer if the test set has fewer than 2n.

    Returns:
        The domain classifier's features, and Inception's if its weights are there.
    """
    scored = [domain_reference(task.dataset, task.precision, task.threads, n)]
    over_inception = inception_reference(task.dataset, weights, n)
    if over_inception is not None:
        scored.append(over_inception)
    return scored


@functools.lru_cache(maxsize=4)
def domain_reference(dataset: str, precision: str, threads: int, n: int) -> Scored:
    """Return the data set's domain classifier and what real test images score over it."""
    return _with_reference(domain_extractor(dataset, precision, threads), dataset, n)


@functools.lru_cache(maxsize=4)
def inception_reference(dataset: str, weights: str, n: int) -> Scored | None:
    """Return the same over Inception; None if its weights are not there."""
    extractor = inception(weights, device())
    if extractor is None:
        return None
    return _with_reference(extractor, dataset, n)


def _with_reference(extractor: Extractor, dataset: str, n: int) -> Scored:
    real = load(dataset, "test").images
    return extractor, reference(extractor, real, min(n, len(real) // 2), seed=0)


def domain_extractor(dataset: str, precision: str, threads: int) -> Extractor:
    """Return features and logits of the data set's domain classifier.

    The classifier has seen training images only.
    """
    task = domain_task(dataset, precision, threads)
    network = frozen_network(domain_classifier(dataset, precision, threads), task.spec)

    def features_and_logits(images: Tensor) -> tuple[Tensor, Tensor]:
        features = network.features(images)  # pyright: ignore[reportCallIssue]
        return features, network.linear(features)  # pyright: ignore[reportCallIssue]

    return Extractor("domain", features_and_logits, device())


@stage(version=1)
def domain_classifier(dataset: str, precision: str, threads: int) -> State:
    """Train a classifier of the pooled real data, for metrics only.

    SGD with momentum 0.9, 2,000 steps of 64 images. It depends on the data set alone, on no seed of
    a run and on no network of a task (it is always ``cnn`` of base width 32), so that FID over its
    features can be compared between all records of a data set.

    Args:
        dataset: name of the data set.
        precision: "fp32" or "bf16".
        threads: CPU threads, which determine the order of sums.
    """
    task = domain_task(dataset, precision, threads)
    state = initial_model(task.spec, seed_of(dataset, "domain"))
    return train(state, open_federation(task).pool, task, "domain", steps=DOMAIN_STEPS)


def domain_task(dataset: str, precision: str, threads: int) -> Task:
    """Return the task that the domain classifier is trained on: all data, no clients."""
    return Task(
        dataset=dataset,
        model="cnn",
        base_width=32,
        precision=precision,
        threads=threads,
        batch_size=DOMAIN_BATCH,
        lr=DOMAIN_LR,
        momentum=0.9,
        weight_decay=5e-4,
    ).without_clients()
