"""The domain classifier's view of images: what FID, IS and KID are always measured over."""

import functools

from torch import Tensor

from benchmarks.metrics.fidelity import Extractor, Reference, inception, reference
from mosaic.fl.data.readers import load
from mosaic.fl.device import device
from mosaic.fl.stages import domain_classifier, domain_task
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import frozen, spec_of


@functools.lru_cache(maxsize=4)
def domain_reference(dataset: str, precision: str, threads: int, n: int):
    """The extractor over the data set's domain classifier, and what real test images score by it."""
    return _with_reference(domain_extractor(dataset, precision, threads), dataset, n)


def domain_extractor(dataset: str, precision: str, threads: int) -> Extractor:
    """Features and logits of the data set's domain classifier, which has seen training images only."""
    facts = (dataset, precision, threads)
    task = domain_task(*facts)
    network = frozen(domain_classifier(*facts), spec_of(task))

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
