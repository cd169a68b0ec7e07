"""The domain classifier: FID, IS and KID are always measured over its features."""

import functools

from torch import Tensor

from benchmarks.metrics.fidelity import Extractor, reference
from benchmarks.metrics.generated_images import Scored
from benchmarks.metrics.inception import inception
from mosaic.fl.cache import stage
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load_checked
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


def references(task: Task, test_data: str, weights: str, n: int) -> list[Scored]:
    """Return what the generated images of a task are scored over.

    Args:
        task: its data set, precision and threads count.
        test_data: the fingerprint of the test split; "": whatever it is.
        weights: Inception's, as in :func:`benchmarks.metrics.inception.inception`.
        n: images on each side; fewer if the test set has fewer than 2n.

    Returns:
        The domain classifier's features, and Inception's if its weights are there.
    """
    where = device()  # a process may use one after the other
    scored = [domain_reference(domain_task(task), test_data, n, where)]
    over_inception = inception_reference(task.dataset, test_data, weights, n, where)
    if over_inception is not None:
        scored.append(over_inception)
    return scored


@functools.lru_cache(maxsize=4)
def domain_reference(task: Task, test_data: str, n: int, where: str) -> Scored:
    """Return the data set's domain classifier, on that device, and what real test images score."""
    return _with_reference(domain_extractor(task), task.dataset, test_data, n)


@functools.lru_cache(maxsize=4)
def inception_reference(
    dataset: str, test_data: str, weights: str, n: int, where: str
) -> Scored | None:
    """Return the same over Inception; None if its weights are not there."""
    extractor = inception(weights, where)
    if extractor is None:
        return None
    return _with_reference(extractor, dataset, test_data, n)


def _with_reference(extractor: Extractor, dataset: str, test_data: str, n: int) -> Scored:
    real = load_checked(dataset, "test", test_data).images
    return extractor, reference(extractor, real, min(n, len(real) // 2), seed=0)


def domain_extractor(task: Task) -> Extractor:
    """Return features and logits of the data set's domain classifier.

    The classifier has seen training images only.

    Args:
        task: of :func:`domain_task`.
    """
    network = frozen_network(domain_classifier(task), task.spec, "average")

    def features_and_logits(images: Tensor) -> tuple[Tensor, Tensor]:
        features = network.features(images)  # pyright: ignore[reportCallIssue]
        return features, network.linear(features)  # pyright: ignore[reportCallIssue]

    return Extractor("domain", features_and_logits, device())


@stage(version=1)
def domain_classifier(task: Task) -> State:
    """Train a classifier of the pooled real data, for metrics only.

    SGD with momentum 0.9, 2,000 steps of 64 images. It depends on the data set alone, on no seed of
    a run and on no network of a task (it is always ``cnn`` of base width 32), so that FID over its
    features can be compared between all records of a data set.

    Args:
        task: of :func:`domain_task`.
    """
    state = initial_model(task.spec, seed_of(task.dataset, "domain"))
    return train(state, open_federation(task).pool, task, "domain", steps=DOMAIN_STEPS)


def domain_task(task: Task) -> Task:
    """Return the task that the domain classifier is trained on: all data, no clients.

    Args:
        task: its data set and the data's fingerprint, its precision, and its threads, which
            determine the order of sums.
    """
    return Task(
        dataset=task.dataset,
        data=task.data,
        model="cnn",
        base_width=32,
        precision=task.precision,
        threads=task.threads,
        batch_size=DOMAIN_BATCH,
        lr=DOMAIN_LR,
        momentum=0.9,
        weight_decay=5e-4,
    ).without_clients()
