"""The domain classifier's view of images: what FID, IS and KID are always measured over."""

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


@functools.lru_cache(maxsize=4)
def domain_reference(dataset: str, precision: str, threads: int, n: int):
    """The extractor over the data set's domain classifier, and what real test images score by it."""
    return _with_reference(domain_extractor(dataset, precision, threads), dataset, n)


def domain_extractor(dataset: str, precision: str, threads: int) -> Extractor:
    """Features and logits of the data set's domain classifier, which has seen training images only."""
    facts = (dataset, precision, threads)
    task = domain_task(*facts)
    network = frozen_network(domain_classifier(*facts), task.spec)

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        features = network.features(images)
        return features, network.linear(features)

    return Extractor("domain", look, device())


@functools.lru_cache(maxsize=4)
def inception_reference(dataset: str, weights: str, n: int):
    """The same over Inception; None where its weights are not there."""
    extractor = inception(weights, device())
    return extractor and _with_reference(extractor, dataset, n)


def _with_reference(extractor: Extractor, dataset: str, n: int) -> tuple[Extractor, Reference]:
    real = load(dataset, "test").images
    return extractor, reference(extractor, real, min(n, len(real) // 2), seed=0)


def references(task: Task, weights: str, n: int) -> list[tuple[Extractor, Reference]]:
    """What generated images of this task are scored over: the domain's features, and Inception's if they are there."""
    domain = domain_reference(task.dataset, task.precision, task.threads, n)
    over_inception = inception_reference(task.dataset, weights, n)
    return [domain] if over_inception is None else [domain, over_inception]


DOMAIN_STEPS, DOMAIN_BATCH, DOMAIN_LR = 2000, 64, 0.05


@stage(version=1)
def domain_classifier(dataset: str, precision: str, threads: int) -> State:
    """A classifier of the pooled real data, for metrics only: SGD with momentum 0.9, 2,000 steps of 64.

    It depends on the data set alone, on no seed of a run and on no network of a task (it is always ``cnn`` of base
    width 32), so that FID over its features can be compared between all records of a data set.
    """
    task = domain_task(dataset, precision, threads)
    state = initial_model(task.spec, seed_of(dataset, "domain"))
    return train(state, open_federation(task).pool, task, "domain", steps=DOMAIN_STEPS)


def domain_task(dataset: str, precision: str, threads: int) -> Task:
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
