"""python -m benchmarks.speed: how fast the training loop is here, against a plain one and against its own bare steps.

The work is FedAvg on Fashion-MNIST: 10 clients, Dirichlet(0.1), 10 steps of batch 64 a client and round, a 4-layer CNN.
All variants run in turn, round by round in one process, so that a busy machine slows them alike; read the ratios.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

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

PARTS = (
    "rounds",
    "kernels",
    "roofline",
    "profile",
    "methods",
    "clients",
    "memory",
    "executors",
    "jobs",
    "accuracy",
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default: all)",
    )
    parser.add_argument(
        "--rounds", type=int, default=8, help="timed rounds of each variant (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: all)"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--peer", action="append", default=[], help="a script that prints its seconds a round last"
    )
    parser.add_argument(
        "--python", default=sys.executable, help="the Python that runs peers (default: this one)"
    )
    parser.add_argument(
        "--methods", default="all", help="those of the parts methods and jobs (default: all)"
    )
    parser.add_argument(
        "--clients", default="10,100,1000", help="numbers of clients of the part clients"
    )
    parser.add_argument(
        "--out", type=Path, help="a folder for what is printed, as speed.txt, and for figures"
    )
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
    console.print(
        f"{environment()['processor']}, {options.threads} threads, torch {torch.__version__}, {task.precision}, "
        f"kernels: {environment()['kernels']}, commit {environment()['commit']}"
    )
    names = list(METHODS) if options.methods == "all" else options.methods.split(",")
    run = {
        "rounds": lambda: compare_rounds(task, options.rounds, options.peer, options.python),
        "kernels": lambda: (compare_kernels(task), compare_layers()),
        "roofline": lambda: console.print(roofline(task)),
        "profile": lambda: console.print(profile(task)),
        "methods": lambda: compare_methods(
            task, [name for name in names if known_method(name)], options.rounds
        ),
        "clients": lambda: compare_clients(
            task, [int(n) for n in options.clients.split(",")], options.out
        ),
        "memory": lambda: console.print(mosaic_memory()),
        "executors": lambda: compare_executors(40, options.threads),
        "jobs": lambda: compare_jobs(None if options.methods == "all" else names),
        "accuracy": lambda: compare_accuracy(dataclasses.replace(task, rounds=20)),
    }
    for part in options.parts or PARTS:
        console.rule(part)
        run[part]()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(options.out / "speed.txt", console.export_text().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
