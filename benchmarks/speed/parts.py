"""What python -m benchmarks.speed can measure, part by part."""

import argparse
import dataclasses
from collections.abc import Callable

import torch

from benchmarks.output import print_table
from benchmarks.planning.methods import METHODS, known_method
from benchmarks.running.record import environment
from benchmarks.speed.accuracy import compare_accuracy
from benchmarks.speed.executors import compare_executors, compare_jobs
from benchmarks.speed.growth import mosaic_memory
from benchmarks.speed.kernels import compare_kernels, compare_layers
from benchmarks.speed.methods import compare_clients, compare_methods
from benchmarks.speed.output import console
from benchmarks.speed.roofline import profile, roofline
from benchmarks.speed.rounds import compare_rounds
from mosaic.fl.cache import use_cache
from mosaic.fl.device import choose_precision, use_device
from mosaic.fl.files import write_whole
from mosaic.fl.task import Task

Options = argparse.Namespace


def measure(options: Options) -> None:
    """Measure each part, print it, and write speed.txt if --out is given."""
    threads = options.threads or torch.get_num_threads()
    use_device(options.device)
    use_cache(None)
    torch.set_num_threads(threads)
    task = Task(
        dataset="fashion_mnist", omega=0.1, precision=choose_precision("auto"), threads=threads
    )
    facts = environment()
    console.print(
        f"{facts['processor']}, {threads} threads, torch {torch.__version__}, "
        f"{task.precision}, kernels: {facts['kernels']}, commit {facts['commit']}"
    )

    for part in options.parts or PARTS:
        console.rule(part)
        PARTS[part](task, options)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(options.out / "speed.txt", console.export_text().encode())


def _rounds(task: Task, options: Options) -> None:
    compare_rounds(task, options.rounds, options.peer, options.python)


def _kernels(task: Task, options: Options) -> None:
    compare_kernels(task)
    compare_layers()


def _roofline(task: Task, options: Options) -> None:
    print_table(console, roofline(task))


def _profile(task: Task, options: Options) -> None:
    print_table(console, profile(task))


def _methods(task: Task, options: Options) -> None:
    names = _method_names(options) or list(METHODS)
    for name in names:
        known_method(name)  # an unknown name is an error before the first measurement
    compare_methods(task, names, options.rounds)


def _clients(task: Task, options: Options) -> None:
    counts = [int(n) for n in options.clients.split(",")]
    compare_clients(task, counts, options.out)


def _memory(task: Task, options: Options) -> None:
    console.print(mosaic_memory())


def _executors(task: Task, options: Options) -> None:
    compare_executors(40, task.threads)


def _jobs(task: Task, options: Options) -> None:
    compare_jobs(_method_names(options))


def _accuracy(task: Task, options: Options) -> None:
    compare_accuracy(dataclasses.replace(task, rounds=20))


def _method_names(options: Options) -> list[str] | None:
    """The names of --methods; None for all methods."""
    if options.methods == "all":
        return None
    return options.methods.split(",")


PARTS: dict[str, Callable[[Task, Options], None]] = {
    "rounds": _rounds,
    "kernels": _kernels,
    "roofline": _roofline,
    "profile": _profile,
    "methods": _methods,
    "clients": _clients,
    "memory": _memory,
    "executors": _executors,
    "jobs": _jobs,
    "accuracy": _accuracy,
}
"""What can be measured, in the order of ``PART_NAMES``."""
