"""What a cell costs beyond its own seconds in processes and on Ray."""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.planning.cell import Cell
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.settings import configure
from benchmarks.planning.suite import read_suite
from benchmarks.running.processes import run_cells
from benchmarks.running.ray_cluster import cells_on_ray
from benchmarks.running.session import Session
from benchmarks.speed.output import console
from mosaic.fl.device import choose_precision
from mosaic.fl.task import Task


def compare_executors(n: int, cores: int) -> None:
    """What a cell costs beyond its own seconds in processes and as a Ray task: ``n`` small cells on ``cores`` cores.

    From the first cell's end to the last one's, so that the start of processes and of Ray is not in it.
    """
    task = Task(rounds=1, score_every=1, base_width=8)
    config = configure("fedprox", {"client": 1.0, "server": 1.0}, {})
    cells = [
        Cell(
            "speed",
            "quick",
            "fedprox",
            "fedprox",
            dataclasses.replace(task, seed=i),
            config,
            "full",
            1.0,
            1.0,
            0,
        )
        for i in range(n)
    ]
    executors = {
        "processes": partial(run_cells, jobs=cores),
        "Ray tasks": partial(cells_on_ray, address="local"),
    }
    for name, run in executors.items():
        with tempfile.TemporaryDirectory() as scratch:
            outcomes = run(cells, Session(Path(scratch)), watch=lambda *_: None)
            ended = [(time.perf_counter(), outcome.seconds) for outcome in outcomes]
        own = [seconds for _, seconds in ended[cores:]]
        beyond = (ended[-1][0] - ended[cores - 1][0]) * cores - sum(own)
        console.print(
            f"{name}: {beyond / len(own):.3f} s a cell beyond the cell's own {statistics.mean(own):.3f} s "
            f"({len(own)} cells, {cores} at a time)",
            highlight=False,
        )


def compare_jobs(names: Sequence[str] | None) -> None:
    """Seconds of the quick suite at omega 0.1, full width and seed 0, from an empty store, by processes and threads."""
    took: dict[str, float] = {}
    for jobs, threads in ((2, 1), (1, 1), (1, 2)):
        where = {
            "omega": [0.1],
            "widths": ["full"],
            "seeds": [0],
            "methods": names,
            "threads": threads,
        }
        cells = expand_cells(
            *read_suite("heterogeneity"), "quick", precision=choose_precision("auto"), **where
        )
        with tempfile.TemporaryDirectory() as scratch:
            begun = time.perf_counter()
            ended = [
                outcome.status
                for outcome in run_cells(cells, Session(Path(scratch)), jobs, lambda *_: None)
            ]
        name = f"{jobs} job{'s' * (jobs > 1)} of {threads} thread{'s' * (threads > 1)}"
        took[name] = time.perf_counter() - begun
        console.print(
            f"{name}: {took[name]:.0f} s for {ended.count('done')} cells", highlight=False
        )
    two, one, threaded = took.values()
    console.print(
        f"two jobs take {two / one:.2f} of one job's time, {two / threaded:.2f} of one with two threads"
    )
