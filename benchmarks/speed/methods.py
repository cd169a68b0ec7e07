"""Where each method's seconds go, and what more clients cost."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.output import print_table
from benchmarks.planning.budget import steps_by_factor
from benchmarks.planning.methods import METHODS
from benchmarks.planning.scales import SCALES, Budget
from benchmarks.planning.settings import configure
from benchmarks.speed.growth import growth
from benchmarks.speed.output import console, scratch_folder
from mosaic.fl.cache import use_cache
from mosaic.fl.contract import Skip
from mosaic.fl.costs import Account, Cost, opened
from mosaic.fl.task import Task


def compare_methods(task: Task, names: Sequence[str], rounds: int) -> None:
    """Print each method's seconds, and the share that forward and backward passes have in them.

    The tasks have the laptop scale's sizes, and a tenth of its generator and server steps.

    Args:
        task: The task; sizes and rounds are replaced.
        names: The methods.
        rounds: Number of rounds, from an empty cache.
    """
    sizes = SCALES["laptop"].task | {"rounds": rounds, "score_every": rounds}
    task = dataclasses.replace(task, **sizes)
    table = Table("method", "seconds", "per round", "bare passes", "steps")
    for name in names:
        try:
            cost = _cost_of(name, task)
        except Skip as reason:
            table.add_row(name, f"n/a: {reason}")
            continue
        steps = ", ".join(f"{n} {kind}" for kind, n in cost.steps.items())
        table.add_row(
            name,
            f"{cost.seconds:.1f}",
            f"{cost.seconds / rounds:.2f}",
            f"{cost.pass_seconds / cost.seconds:.0%}",
            steps,
        )
    print_table(console, table)


def _cost_of(name: str, task: Task) -> Cost:
    """Run the method from an empty cache; all that it cost."""
    scale = SCALES["laptop"]
    sizes = scale.methods.get(name, {})
    shares = Budget(scale.client_work / 10, scale.server_work / 10)
    config = configure(name, sizes | steps_by_factor(name, task, sizes, shares))
    with scratch_folder() as scratch:
        use_cache(scratch)
        with opened(Account()) as account:
            for _ in METHODS[name].run(task, config):
                pass
    return account.total()


def compare_clients(task: Task, counts: Sequence[int], out: Path | None) -> None:
    """Print seconds and peak memory of FedAvg's rounds by number of clients.

    The clients share the images of Fashion-MNIST, and then those of digits, down to one image per
    client. A client takes two steps only, because what it costs beside its steps is what could
    grow faster than the number of clients.

    Args:
        task: The task on Fashion-MNIST.
        counts: Numbers of clients.
        out: A folder for the figures. None: no figures.
    """
    short = dataclasses.replace(task, steps=2, base_width=16)
    print_table(console, growth(short, counts, out))
    digits = dataclasses.replace(short, dataset="digits", min_samples=1)
    print_table(console, growth(digits, counts, out))
