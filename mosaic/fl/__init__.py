"""What all methods share: data, clients, networks, training, rounds. The public API.

Everything that a method or a notebook needs can be imported from here. For example FedAvg, round
by round, on 8x8 digits:

    from mosaic import fl

    task = fl.Task(dataset="digits", omega=1.0, n_clients=5, rounds=10, lr=0.1)
    server = fl.initial_model(task.spec, task.seed)
    for t in range(1, task.rounds + 1):
        server = fl.average_round(task, server, fl.client_updates(task, server, t), t)
    test = fl.load("digits", "test")
    predicted = fl.predictor(server, task)(fl.normalise(test.images)).argmax(1)
    print(f"accuracy {(predicted == test.labels).float().mean():.2f}")

A name is imported from its module when it is first used, so ``import mosaic.fl`` alone is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mosaic.fl.aggregation import average, average_parts
    from mosaic.fl.cache import stage, use_cache
    from mosaic.fl.channel import download, upload
    from mosaic.fl.contract import (
        NEEDS,
        PROTOCOLS,
        Predict,
        Skip,
        Snapshot,
        added_later,
        check_method,
        choice,
        scaled_steps,
    )
    from mosaic.fl.costs import Account, Cost, metered, opened
    from mosaic.fl.data.federation import Federation, Shard, open_federation
    from mosaic.fl.data.loading import load
    from mosaic.fl.data.transforms import normalise
    from mosaic.fl.data.user_data import register_data, register_dataset
    from mosaic.fl.device import use_device
    from mosaic.fl.errors import InputError, did_you_mean
    from mosaic.fl.independent import independent_client_model
    from mosaic.fl.models.live_network import initial_model
    from mosaic.fl.models.spec import Layout, Spec, State
    from mosaic.fl.rng import numpy_stream, seed_of, stream
    from mosaic.fl.rounds import (
        average_round,
        client_update,
        client_updates,
        participants,
        require_all_clients,
    )
    from mosaic.fl.stages import (
        Waves,
        federated_model,
        final_client_model,
        final_client_models,
        waves_of_all_rounds,
        waves_of_independent_models,
        waves_of_one_shot,
    )
    from mosaic.fl.submodel import Window, cut, window
    from mosaic.fl.task import Task, capacity_widths
    from mosaic.fl.training.distillation import distil
    from mosaic.fl.training.losses import cross_entropy
    from mosaic.fl.training.prediction import features, frozen_network, predictor
    from mosaic.fl.training.sgd import Loss, train
    from mosaic.fl.training.teachers import teacher_logits, teachers_of

__all__ = [
    "Account",
    "Cost",
    "Federation",
    "InputError",
    "Layout",
    "Loss",
    "NEEDS",
    "PROTOCOLS",
    "Predict",
    "Shard",
    "Skip",
    "Snapshot",
    "Spec",
    "State",
    "Task",
    "Waves",
    "Window",
    "added_later",
    "average",
    "average_parts",
    "average_round",
    "capacity_widths",
    "check_method",
    "choice",
    "client_update",
    "client_updates",
    "cross_entropy",
    "cut",
    "did_you_mean",
    "distil",
    "download",
    "features",
    "federated_model",
    "final_client_model",
    "final_client_models",
    "frozen_network",
    "independent_client_model",
    "initial_model",
    "load",
    "metered",
    "normalise",
    "numpy_stream",
    "open_federation",
    "opened",
    "participants",
    "predictor",
    "register_data",
    "register_dataset",
    "require_all_clients",
    "scaled_steps",
    "seed_of",
    "stage",
    "stream",
    "teacher_logits",
    "teachers_of",
    "train",
    "upload",
    "use_cache",
    "use_device",
    "waves_of_all_rounds",
    "waves_of_independent_models",
    "waves_of_one_shot",
    "window",
]

# The names of __all__ by the module, below this package, that defines them
_NAMES = {
    "aggregation": ("average", "average_parts"),
    "cache": ("stage", "use_cache"),
    "channel": ("download", "upload"),
    "contract": (
        "NEEDS",
        "PROTOCOLS",
        "Predict",
        "Skip",
        "Snapshot",
        "added_later",
        "check_method",
        "choice",
        "scaled_steps",
    ),
    "costs": ("Account", "Cost", "metered", "opened"),
    "data.federation": ("Federation", "Shard", "open_federation"),
    "data.loading": ("load",),
    "data.transforms": ("normalise",),
    "data.user_data": ("register_data", "register_dataset"),
    "device": ("use_device",),
    "errors": ("InputError", "did_you_mean"),
    "independent": ("independent_client_model",),
    "models.live_network": ("initial_model",),
    "models.spec": ("Layout", "Spec", "State"),
    "rng": ("numpy_stream", "seed_of", "stream"),
    "rounds": (
        "average_round",
        "client_update",
        "client_updates",
        "participants",
        "require_all_clients",
    ),
    "stages": (
        "Waves",
        "federated_model",
        "final_client_model",
        "final_client_models",
        "waves_of_all_rounds",
        "waves_of_independent_models",
        "waves_of_one_shot",
    ),
    "submodel": ("Window", "cut", "window"),
    "task": ("Task", "capacity_widths"),
    "training.distillation": ("distil",),
    "training.losses": ("cross_entropy",),
    "training.prediction": ("features", "frozen_network", "predictor"),
    "training.sgd": ("Loss", "train"),
    "training.teachers": ("teacher_logits", "teachers_of"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its module, the first time that it is used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
