"""FLOPs of Mosaic."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.planning.flop_parts import (
    Part,
    all_clients,
    at_clients,
    at_server,
    client_cvaes,
    client_gans,
    decoder_units,
    federated_rounds,
    independent_training,
    local_training,
    server_training,
)
from benchmarks.planning.network_flops import classifier, dcgan, perceptron
from mosaic.fl.task import Task


def mosaic(task: Task, config: Any) -> Iterator[Part]:
    """Mosaic with GANs or CVAEs, and with any teacher."""
    source = task.source
    if config.protocol == "rounds":
        yield federated_rounds(task)
    else:
        yield independent_training(task)

    if config.generator == "cvae":
        yield client_cvaes(task, config, source.n_classes)
        drawn = perceptron(*decoder_units(task, config, source.n_classes))
    else:
        yield client_gans(task, config)
        batch_norm = config.discriminator_norm == "batch"
        drawn, _, _ = dcgan(config.latent, config.ngf, source.channels, source.size, batch_norm)

    if config.teacher == "source":
        labelled = all_clients(task) / task.n_clients
    elif config.teacher == "clients":
        labelled = all_clients(task)
    else:
        labelled = source.n_classes * classifier(task.spec)

    images = config.distil_steps * config.distil_batch
    yield at_server(images * (drawn + labelled) + server_training(task, images))

    if config.finetune_rounds:
        yield at_clients(local_training(replace(task, rounds=config.finetune_rounds)))
