"""Where each method's seconds go, and what more clients cost."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.planning.methods import METHODS
from benchmarks.planning.scales import SCALES
from benchmarks.planning.settings import configure
from benchmarks.speed.growth import growth
from benchmarks.speed.output import console
from mosaic.fl.cache import use_cache
from mosaic.fl.contract import Skip
from mosaic.fl.costs import Account, opened
from mosaic.fl.task import Task


def compare_methods(task: Task, names: Sequence[str], rounds: int) -> None:
    """Where each method's seconds go: the share of bare forward and backward passes in all that its clock counts.

    ``rounds`` rounds from an empty store, at the laptop scale's sizes and a tenth of its generator and server steps.
    """
    scale = SCALES["laptop"]
    task = dataclasses.replace(task, **scale.task | {"rounds": rounds, "score_every": rounds})
    work = {"client": scale.client_work / 10, "server": scale.server_work / 10}
    table = Table("method", "seconds", "a round", "bare passes", "steps")
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            use_cache(Path(scratch))
            try:
                with opened(Account()) as account:
                    for _ in METHODS[name].run(
                        task, configure(name, work, scale.methods.get(name, {}))
                    ):
                        pass
            except Skip as reason:
                table.add_row(name, f"n/a: {reason}")
                continue
        cost = account.total()
        steps = ", ".join(f"{n} {kind}" for kind, n in cost.steps.items())
        share = f"{cost.pass_seconds / cost.seconds:.0%}"
        table.add_row(name, f"{cost.seconds:.1f}", f"{cost.seconds / rounds:.2f}", share, steps)
    console.print(table)


def compare_clients(task: Task, counts: Sequence[int], out: Path | None) -> None:
    """Rounds of more and more clients, which share the images of Fashion-MNIST, and of digits, down to one each.

    Two steps a client: it is what a client costs beside its steps that could grow otherwise.
    """
    short = dataclasses.replace(task, steps=2, base_width=16)
    for one in (short, dataclasses.replace(short, dataset="digits", min_samples=1)):
        console.print(growth(one, counts, out))
