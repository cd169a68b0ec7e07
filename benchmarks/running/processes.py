"""Where cells run: in this process, or in several on this machine. Which one changes no record."""

import contextlib
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection

import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.run_cell import record_failure, run_cell
from benchmarks.running.schedule import Schedule, Stage, Work
from benchmarks.running.session import Outcome, Session, prepare
from benchmarks.running.worker_processes import Worker, Workers
from mosaic.fl.cache import watch_stages
from mosaic.fl.errors import is_full

Watch = Callable[[str, str, str | None], None]
"""Called with the key of a piece of work, the key of its cell, and what it does now.

That is the name of a stage, or "" at a cell's start; None when a stage is over.
"""


@dataclass(frozen=True)
class Started:
    """A worker's message: a cell has started, or (with its name) a stage for it."""

    key: str
    stage: str


@dataclass(frozen=True)
class Finished:
    """A worker's message: its work is over.

    Attributes:
        outcome: that of a cell; None for a stage.
        seconds: how long it took.
        damage: what a stage found damaged in the cache.
    """

    outcome: Outcome | None
    seconds: float
    damage: tuple[str, ...] = ()


def run_cells(
    cells: Sequence[Cell], session: Session, jobs: int, watch: Watch
) -> Generator[Outcome]:
    """Run cells and yield how each of them ended, as it ends. A failing cell stops no other.

    Close the generator if it is not used to its end: its processes are gone then.

    Args:
        cells: in the order in which they are wanted; see :class:`Schedule`.
        session: the folder, device and data of the run.
        jobs: number of processes; with 1 the cells run in this one.
        watch: called when a cell or a stage starts.
    """
    if jobs > 1:
        yield from _in_processes(cells, session, jobs, watch)
        return
    prepare(session)
    for cell in cells:
        watch(cell.key, cell.key, "")
        yield run_cell(cell, session, partial(watch, cell.key, cell.key))


def _in_processes(
    cells: Sequence[Cell], session: Session, jobs: int, watch: Watch
) -> Generator[Outcome]:
    prepare(session)  # stages that are in its cache are not scheduled
    schedule = Schedule(cells, jobs)
    busy: dict[Worker, Work] = {}
    idle: list[Worker] = []
    damage: list[str] = []  # warnings for the next outcome
    with Workers() as workers:
        while schedule or busy:
            while len(busy) < jobs and (work := schedule.take()):
                worker = idle.pop() if idle else workers.start("cells", _serve, session)
                worker.send(work)
                busy[worker] = work

            for worker, message in workers.news():
                if isinstance(message, Started):
                    watch(busy[worker].key, message.key, message.stage)
                    continue
                if worker in idle:  # it has ended
                    idle.remove(worker)
                    continue

                work = busy.pop(worker)
                if isinstance(message, Finished):
                    idle.append(worker)
                    schedule.ended(work, message.seconds)
                    if isinstance(work, Stage):
                        watch(work.key, work.cell.key, None)
                    damage += message.damage
                    if message.outcome is not None:
                        notes = (*message.outcome.notes, *damage)
                        damage.clear()
                        yield replace(message.outcome, notes=notes)
                    continue
                # The worker has ended, perhaps killed by the system for its memory. A lost stage is
                # computed by the cells that need it.
                schedule.ended(work)
                if isinstance(work, Stage):
                    watch(work.key, work.cell.key, None)
                else:
                    yield record_failure(work, session, f"its process {message.reason}; run again")


# What follows runs in a worker process.


def _serve(pipe: Connection, session: Session) -> None:
    """Run the work that arrives, until the pipe's other end is closed."""
    prepare(session)

    def report(key: str, stage: str) -> None:
        pipe.send(Started(key, stage))

    while True:
        try:
            work = pipe.recv()
        except EOFError:
            return
        begun = time.perf_counter()
        if isinstance(work, Stage):
            damage = compute_stage(work, partial(report, work.cell.key))
            pipe.send(Finished(None, time.perf_counter() - begun, damage))
        else:
            outcome = _run(work, session, report)
            pipe.send(Finished(outcome, time.perf_counter() - begun))


def _run(work: Cell, session: Session, report: Callable[[str, str], None]) -> Outcome:
    report(work.key, "")
    try:
        return run_cell(work, session, partial(report, work.key))
    except Exception as error:  # an error of the harness, such as a record that cannot be written
        if is_full(error):
            raise
        return Outcome(work, "failed", notes=(traceback.format_exc(),))


def compute_stage(stage: Stage, announce: Callable[[str], None] | None = None) -> tuple[str, ...]:
    """Compute a stage into the cache, for the cells that need it.

    Args:
        stage: what to compute. An error is ignored here: the cells compute the stage again, fail
            with the same error and record it.
        announce: called with the name of each stage that starts to be computed.

    Returns:
        What was damaged in the cache, and set aside. Other warnings are left out.
    """
    torch.set_num_threads(stage.cell.task.threads)
    watch_stages(announce)
    with contextlib.suppress(Exception), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stage.call()
    texts = [str(warning.message) for warning in caught]
    return tuple(text for text in texts if text.startswith("damaged "))
