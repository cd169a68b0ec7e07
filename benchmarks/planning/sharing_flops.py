"""FLOPs of the methods whose server sends images back to all clients.

Mixing them into the local training costs nothing: clients take no more steps.
"""

import math
from collections.abc import Iterator
from typing import Any

from baselines.sda_fl import gan_config
from benchmarks.planning.flop_parts import (
    Part,
    all_clients,
    at_clients,
    at_server,
    client_generators,
    labelled_generators,
    last_models,
    own_rounds,
    server_training,
)
from benchmarks.planning.network_flops import classifier, dcgan
from mosaic.feedback import CANDIDATES, task_before
from mosaic.fl.synthesis.labelled import LABELLED
from mosaic.fl.task import Task


def mosaic_feedback(task: Task, config: Any) -> Iterator[Part]:
    """Mosaic with feedback: the rounds, the generators, and the images drawn with them."""
    yield own_rounds(task)

    # GANs need the clients' models of the rounds before the exchange, and so do some labels. With
    # one round there are none, and the method is skipped.
    before = task_before(task, config) if task.rounds > 1 else task
    generators, per_image = client_generators(before, config)
    yield generators
    if config.labels != "drawn":
        yield last_models(before)

    sent = config.images * exchanges(task, before, config)
    if config.labels == "drawn":
        yield at_server(sent * per_image)
    else:
        per_image += all_clients(task) / task.n_clients
        yield at_server(CANDIDATES * sent * per_image)

    if config.distil == "images":
        learnt = config.distil_steps * config.distil_batch
        yield at_server(learnt * per_image + server_training(task, learnt))


def sda_fl(task: Task, config: Any) -> Iterator[Part]:
    """SDA-FL: clients' generators, images labelled in each round, and the server's own steps."""
    yield own_rounds(task)

    source = task.source
    if config.generator in LABELLED:
        generators, drawn = labelled_generators(task, config)
        yield generators
    else:
        batch_norm = config.discriminator_norm == "batch"
        drawn, learnt, discriminated = dcgan(
            config.latent, config.ngf, source.channels, source.size, batch_norm
        )
        images = task.n_clients * config.generator_steps * config.generator_batch
        name = ("gan_images", task.without_models(), gan_config(config))
        yield at_clients(images * (learnt + discriminated), name)
    yield at_clients(config.images * drawn)

    if config.labels == "server":
        labelled = classifier(task.spec)
    else:
        labelled = task.participation * all_clients(task) / task.n_clients
    yield at_server(task.rounds * config.images * labelled)
    if config.server == "trained":
        images = task.rounds * config.server_steps * config.server_batch
        yield at_server(server_training(task, images))


def exchanges(task: Task, before: Task, config: Any) -> int:
    """How many sets of images the server sends; ``before`` is the task of the rounds until then."""
    if not config.refresh:
        return 1
    rounds = task.rounds - (before.rounds if config.begin else 0)
    return max(1, math.ceil(rounds / config.refresh))
