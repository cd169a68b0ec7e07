"""FLOPs of Mosaic."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.planning.flop_parts import (
    Part,
    all_clients,
    at_clients,
    at_server,
    client_generators,
    federated_rounds,
    independent_training,
    last_models,
    local_training,
    server_training,
)
from benchmarks.planning.network_flops import classifier
from mosaic.fl.task import Task
from mosaic.synthetic_labels import IMAGES_PER_CLIENT


def mosaic(task: Task, config: Any) -> Iterator[Part]:
    """Mosaic with any kind of generator and any teacher."""
    if config.protocol == "rounds":
        yield federated_rounds(task)
        yield last_models(task)
    else:
        yield independent_training(task)

    generators, drawn = client_generators(task, config)
    yield generators
    by_source = all_clients(task) / task.n_clients
    by_experts = task.source.n_classes * classifier(task.spec)
    looked_at = IMAGES_PER_CLIENT * task.n_clients
    if config.expert_counts == "generated":
        yield at_server(looked_at * (drawn + by_source))
    if config.meta_data != "prototypes":
        yield at_server(looked_at * (drawn + by_source + by_experts))

    if config.teacher == "source":
        labelled = by_source
    elif config.teacher == "clients":
        labelled = all_clients(task)
    else:
        labelled = by_experts

    images = config.distil_steps * config.distil_batch
    yield at_server(images * (drawn + labelled) + server_training(task, images))

    if config.finetune_rounds:
        yield at_clients(local_training(replace(task, rounds=config.finetune_rounds)))
