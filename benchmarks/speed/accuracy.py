"""Test accuracy beside that of a plain loop, and in bfloat16."""

import dataclasses
import statistics

import torch
from torch import nn

from benchmarks.metrics.accuracy import score
from benchmarks.speed.output import console, scratch_folder
from benchmarks.speed.rounds import plain_rounds
from mosaic.fl.cache import use_cache
from mosaic.fl.contract import Predict
from mosaic.fl.data.loading import load
from mosaic.fl.device import device, fast_bfloat16
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

SEEDS = range(3)


def compare_accuracy(task: Task) -> None:
    """Print the test accuracy (per cent, mean ± sd over 3 seeds) after the task's rounds.

    Compared are FedAvg in a plain loop, in this project, and in this project in bfloat16. On the
    same batches the plain loop differs only in how it computes. With batches drawn with
    replacement, as the peers draw them, it is trained on other images too.
    """
    test = load(task.dataset, "test")
    accuracies: dict[str, list[float]] = {}
    with scratch_folder() as scratch:
        use_cache(scratch)
        for seed in SEEDS:
            seeded = dataclasses.replace(task, seed=seed, precision="fp32", score_every=task.rounds)
            for name, model in _models(seeded).items():
                result = score(model, test.images, test.labels, test.n_classes, device=device())
                accuracies.setdefault(name, []).append(result.accuracy)

    for name, values in accuracies.items():
        mean_sd = f"{statistics.mean(values):.2%} ± {statistics.stdev(values):.2%}"
        by_seed = ", ".join(f"{value:.2%}" for value in values)
        console.print(
            f"{name}: accuracy {mean_sd} after {task.rounds} rounds, seeds: {by_seed}",
            highlight=False,
        )


def _models(task: Task) -> dict[str, Predict]:
    """The server models that are compared, by name, after the task's rounds."""
    torch.manual_seed(task.seed)  # batches with replacement come from PyTorch's global generator
    models: dict[str, Predict] = {
        "plain loop, the same batches": _plain_model(task, as_peers=False),
        "plain loop, batches with replacement, as the peers'": _plain_model(task, as_peers=True),
    }

    precisions = ["fp32"]
    if fast_bfloat16(device()):
        precisions.append("bf16")
    for precision in precisions:
        here = dataclasses.replace(task, precision=precision)
        state = federated_model(here, here.rounds)
        models[f"this project, {precision}"] = predictor(state, here)
    return models


def _plain_model(task: Task, as_peers: bool) -> nn.Module:
    run, server = plain_rounds(task, as_peers)
    for t in range(1, task.rounds + 1):
        run(t)
    return server.eval()
