"""What a cell costs beyond its own seconds in processes and on Ray; one process against two."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.planning.cell import Cell
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.settings import configure
from benchmarks.planning.suite import read_suite
from benchmarks.running.processes import run_cells
from benchmarks.running.ray_cluster import cells_on_ray
from benchmarks.running.session import Outcome, Session
from benchmarks.speed.output import console, scratch_folder
from mosaic.fl.device import choose_precision
from mosaic.fl.task import Task


def compare_executors(n: int, cores: int) -> None:
    """Print what a cell costs in processes and as a Ray task, beyond its own time (seconds).

    It is measured from the end of the first cells to the end of the last one, so that the start
    of processes and of Ray is not included.

    Args:
        n: Number of small cells.
        cores: How many of them run at the same time.
    """
    cells = _small_cells(n)
    executors: dict[str, Callable[..., Iterator[Outcome]]] = {
        "processes": partial(run_cells, jobs=cores),
        "Ray tasks": partial(cells_on_ray, address="local"),
    }
    for name, run in executors.items():
        ends: list[float] = []
        seconds: list[float] = []
        with scratch_folder() as scratch:
            for outcome in run(cells, Session(scratch), watch=_ignore):
                ends.append(time.perf_counter())
                seconds.append(outcome.seconds)

        # The first cell of each core is left out, as is the time before they ended.
        measured = seconds[cores:]
        available = (ends[-1] - ends[cores - 1]) * cores
        beyond = (available - sum(measured)) / len(measured)
        console.print(
            f"{name}: {beyond:.3f} s per cell beyond the cell's own "
            f"{statistics.mean(measured):.3f} s ({len(measured)} cells, {cores} at a time)",
            highlight=False,
        )


def _small_cells(n: int) -> list[Cell]:
    """``n`` cells of one round of FedProx that differ in their seeds."""
    config = configure("fedprox", {})
    task = Task(rounds=1, score_every=1, base_width=8)
    return [
        Cell(
            suite="speed",
            scale="quick",
            label="fedprox",
            method="fedprox",
            task=dataclasses.replace(task, seed=seed),
            config=config,
            widths="full",
            fidelity_n=0,
        )
        for seed in range(n)
    ]


def compare_jobs(names: Sequence[str] | None) -> None:
    """Print the seconds of the quick suite by number of processes and threads.

    The suite is heterogeneity at omega 0.1, full width and seed 0, each time from an empty cache.

    Args:
        names: The methods. None: all of the suite.
    """
    two_jobs = _time_jobs(names, jobs=2, threads=1)
    one_job = _time_jobs(names, jobs=1, threads=1)
    two_threads = _time_jobs(names, jobs=1, threads=2)
    console.print(
        f"two jobs take {two_jobs / one_job:.2f} of one job's time, "
        f"{two_jobs / two_threads:.2f} of one with two threads"
    )


def _time_jobs(names: Sequence[str] | None, jobs: int, threads: int) -> float:
    """The seconds of the suite's cells; they are printed too."""
    suite_name, suite = read_suite("heterogeneity")
    cells = expand_cells(
        suite_name,
        suite,
        "quick",
        omega=[0.1],
        widths=["full"],
        seeds=[0],
        methods=None if names is None else list(names),
        precision=choose_precision("auto"),
        threads=threads,
    )
    n_done = 0
    with scratch_folder() as scratch:
        begun = time.perf_counter()
        for outcome in run_cells(cells, Session(scratch), jobs, _ignore):
            if outcome.status == "done":
                n_done += 1
        seconds = time.perf_counter() - begun

    name = f"{_count(jobs, 'job')} of {_count(threads, 'thread')}"
    console.print(f"{name}: {seconds:.0f} s for {n_done} cells", highlight=False)
    return seconds


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _ignore(work: str, cell: str, stage: str | None) -> None:
    """Progress is not shown."""
