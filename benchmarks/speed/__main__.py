"""python -m benchmarks.speed: how fast the training loop is on this machine.

It is measured against a plain loop, and against its own training steps alone. The work is FedAvg
on Fashion-MNIST: 10 clients, Dirichlet(0.1), 10 steps of batch size 64 per client and round, a CNN
of 4 layers. All variants run in turn, round by round in one process, so that other work on the
machine slows them alike: read the ratios.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.output import make_streams_readable, print_table
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: measure each part, print it, and write speed.txt if --out is given."""
    make_streams_readable()
    parser = _parser()
    options = parser.parse_args(argv)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; possible: {', '.join(PARTS)}")

    use_device(options.device)
    use_cache(None)
    torch.set_num_threads(options.threads)
    task = Task(
        dataset="fashion_mnist",
        omega=0.1,
        precision=choose_precision("auto"),
        threads=options.threads,
    )
    facts = environment()
    console.print(
        f"{facts['processor']}, {options.threads} threads, torch {torch.__version__}, "
        f"{task.precision}, kernels: {facts['kernels']}, commit {facts['commit']}"
    )

    for part in options.parts or PARTS:
        console.rule(part)
        PARTS[part](task, options)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(options.out / "speed.txt", console.export_text().encode())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default: all)",
    )
    parser.add_argument(
        "--rounds", type=int, default=8, help="timed rounds per variant (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: all)"
    )
    parser.add_argument("--device", default="auto", help="auto | cpu | cuda (default: %(default)s)")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        help="a script whose last printed word is its seconds per round",
    )
    parser.add_argument(
        "--python", default=sys.executable, help="the Python that runs peers (default: this one)"
    )
    parser.add_argument(
        "--methods", default="all", help="methods of the parts methods and jobs (default: all)"
    )
    parser.add_argument(
        "--clients",
        default="10,100,1000",
        help="numbers of clients of the part clients (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for figures and for speed.txt, which has all that is printed",
    )
    return parser


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
    compare_executors(40, options.threads)


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
"""What can be measured, in the order in which it is printed."""


if __name__ == "__main__":
    sys.exit(main())
