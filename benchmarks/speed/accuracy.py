"""Accuracy beside a plain loop's, and in bfloat16."""

import dataclasses
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.metrics.accuracy import score
from benchmarks.speed.output import console
from benchmarks.speed.rounds import plain_rounds
from mosaic.fl.cache import use_cache
from mosaic.fl.data.loading import load
from mosaic.fl.device import device, fast_bfloat16
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor


def compare_accuracy(task: Task) -> None:
    """Test accuracy after the task's rounds over 3 seeds: plain loops, this project, and it in bfloat16.

    On the same batches the plain loop differs in how it computes alone; as the peers draw them, in what it sees, too.
    """
    test = load(task.dataset, "test")
    precisions = ("fp32", "bf16") if fast_bfloat16(device()) else ("fp32",)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        use_cache(Path(scratch))
        for seed in range(3):
            one = dataclasses.replace(task, seed=seed, precision="fp32", score_every=task.rounds)
            torch.manual_seed(seed)  # batches with replacement come from PyTorch's global generator
            models = {}
            for name, as_peers in (
                ("the same batches", False),
                ("batches with replacement, as the peers'", True),
            ):
                run, server = plain_rounds(one, as_peers)
                for t in range(1, one.rounds + 1):
                    run(t)
                models[f"plain loop, {name}"] = server.eval()
            for precision in precisions:
                ours = dataclasses.replace(one, precision=precision)
                models[f"this project, {precision}"] = predictor(
                    federated_model(ours, ours.rounds), ours
                )
            for name, model in models.items():
                accuracy = score(
                    model, test.images, test.labels, test.n_classes, device=device()
                ).accuracy
                found.setdefault(name, []).append(accuracy)
    for name, accuracies in found.items():
        mean_sd = f"{statistics.mean(accuracies):.2%} ± {statistics.stdev(accuracies):.2%}"
        each = ", ".join(f"{accuracy:.2%}" for accuracy in accuracies)
        console.print(
            f"{name}: accuracy {mean_sd} after {task.rounds} rounds, seeds: {each}", highlight=False
        )
