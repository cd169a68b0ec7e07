"""Where cells run: in this process, or in several on this machine. Which one changes no record."""

import contextlib
import multiprocessing
import multiprocessing.process
import multiprocessing.queues
import os
import queue
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.run_cell import run_cell
from benchmarks.running.schedule import Schedule, Stage, Work
from benchmarks.running.session import Outcome, Session, prepare
from mosaic.fl.cache import watch_stages
from mosaic.fl.errors import is_full

Watch = Callable[[str, str], None]
"""Called with a cell's key and what it does now: the name of a stage, or "" at its start."""

DIED = "its process died (out of memory?); run again"


def run_cells(
    cells: Sequence[Cell], session: Session, jobs: int, watch: Watch
) -> Iterator[Outcome]:
    """Run cells and yield how each of them ended, as it ends. A failing cell stops no other.

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
        watch(cell.key, "")
        yield run_cell(cell, session, _announcer(watch, cell))


def _announcer(watch: Watch, cell: Cell) -> Callable[[str], None]:
    def announce(stage: str) -> None:
        watch(cell.key, stage)

    return announce


def _in_processes(
    cells: Sequence[Cell], session: Session, jobs: int, watch: Watch
) -> Iterator[Outcome]:
    prepare(session)  # stages that are in its cache are not scheduled
    schedule = Schedule(cells, jobs)
    context = multiprocessing.get_context("spawn")
    started = context.Queue()  # (key, stage) from the workers, for ``watch``
    running: dict[Future, Work] = {}

    def new_pool() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(jobs, context, _start_worker, (session, started))

    with contextlib.ExitStack() as pools:
        pool = pools.enter_context(new_pool())
        while schedule or running:
            while len(running) < jobs and (work := schedule.take()):
                running[pool.submit(_run_timed, work, session)] = work
            ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            _pass_on(started, watch)

            for future in ended:
                try:
                    outcome, seconds = future.result()
                except BrokenProcessPool:
                    # A worker was killed, perhaps by the system for its memory. The pool is lost
                    # with all that ran in it; a new pool goes on with the other cells.
                    yield from _lost(list(running.values()), schedule)
                    running.clear()
                    pool = pools.enter_context(new_pool())
                    break
                work = running.pop(future)
                schedule.ended(work, seconds)
                if outcome is not None:
                    yield outcome


def _pass_on(started: multiprocessing.queues.Queue, watch: Watch) -> None:
    """Tell ``watch`` what workers have started since the last call."""
    while True:
        try:
            key, stage = started.get_nowait()
        except queue.Empty:
            return
        watch(key, stage)


def _lost(works: list[Work], schedule: Schedule) -> Iterator[Outcome]:
    """Lost cells have failed; a lost stage is computed by the cells that need it."""
    for work in works:
        schedule.ended(work)
        if isinstance(work, Cell):
            yield Outcome(work, "failed", notes=(DIED,))


# What follows runs in a worker process.

_started: multiprocessing.queues.Queue | None = None


def _start_worker(session: Session, started: multiprocessing.queues.Queue) -> None:
    """Prepare a worker: its session, its queue, and its end if the command is killed."""
    global _started
    _started = started
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()
    prepare(session)


def _exit_after(parent: multiprocessing.process.BaseProcess) -> None:
    """End this process when its parent has ended: a pool's workers would live on."""
    parent.join()
    os._exit(1)


def _run_timed(work: Work, session: Session) -> tuple[Outcome | None, float]:
    """Run a piece of work; return a cell's outcome (None for a stage) and the seconds it took."""
    begun = time.perf_counter()
    outcome = _run(work, session)
    return outcome, time.perf_counter() - begun


def _run(work: Work, session: Session) -> Outcome | None:
    if isinstance(work, Stage):
        compute_stage(work, _announcer(_report, work.cell))
        return None
    _report(work.key, "")
    try:
        return run_cell(work, session, _announcer(_report, work))
    except Exception as error:  # an error of the harness, such as a record that cannot be written
        if is_full(error):
            raise
        return Outcome(work, "failed", notes=(traceback.format_exc(),))


def _report(key: str, stage: str) -> None:
    """Report to the command's process what starts here."""
    if _started is not None:
        _started.put((key, stage))


def compute_stage(stage: Stage, announce: Callable[[str], None] | None = None) -> None:
    """Compute a stage into the cache, for the cells that need it.

    Args:
        stage: what to compute. An error is ignored here: the cells compute the stage again, fail
            with the same error and record it.
        announce: called with the name of each stage that starts to be computed.
    """
    torch.set_num_threads(stage.cell.task.threads)
    watch_stages(announce)
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stage.call()
