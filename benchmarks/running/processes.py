"""Where cells run: in this process, or in several on this machine. Which one changes no record."""

import contextlib
import multiprocessing
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

Watch = Callable[[str, str], None]
"""Called with a cell's key and what it does now: a stage's name, or "" at its start."""


def run_cells(
    cells: Sequence[Cell], session: Session, jobs: int, watch: Watch
) -> Iterator[Outcome]:
    """Run the cells, ``jobs`` at a time, and yield each outcome as it comes. A failing cell stops no other."""
    if jobs == 1:
        prepare(session)
        for cell in cells:
            watch(cell.key, "")
            yield run_cell(cell, session, lambda stage, key=cell.key: watch(key, stage))
    else:
        yield from _in_processes(cells, session, jobs, watch)


def _in_processes(
    cells: Sequence[Cell], session: Session, jobs: int, watch: Watch
) -> Iterator[Outcome]:
    prepare(session)  # what is in the store is not planned
    schedule = Schedule(cells, jobs)
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(jobs, context, _enter, (session, news)))
        running: dict[Future, Work] = {}
        while schedule or running:
            while len(running) < jobs and (work := schedule.take()):
                running[pool.submit(_work, work, session)] = work
            ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            with contextlib.suppress(queue.Empty):
                while True:
                    watch(*news.get_nowait())
            for future in ended:
                work = running.pop(future)
                try:
                    outcome, seconds = future.result()
                except BrokenProcessPool:
                    # a worker was killed, by the system for its memory perhaps; a new pool goes on with the others
                    lost = [work, *running.values()]
                    running.clear()
                    pool = stack.enter_context(
                        ProcessPoolExecutor(jobs, context, _enter, (session, news))
                    )
                    for broken in lost:
                        schedule.ended(broken)
                        if isinstance(broken, Cell):  # who needs a lost stage computes it
                            yield Outcome(
                                broken,
                                "failed",
                                notes=("its process died (out of memory?); run again",),
                            )
                    break
                schedule.ended(work, seconds)
                if outcome:
                    yield outcome


_news: multiprocessing.queues.Queue | None = None


def _enter(session: Session, news: multiprocessing.queues.Queue) -> None:
    """A worker's start: its session, its way to report, and a guard that ends it when the command is killed."""
    global _news
    _news = news
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    prepare(session)


def _work(work: Work, session: Session) -> tuple[Outcome | None, float]:
    """On a worker: run the cell, or fill the store with a stage; a cell's outcome, and the seconds it took."""
    begun = time.perf_counter()
    return _outcome(work, session), time.perf_counter() - begun


def _outcome(work: Work, session: Session) -> Outcome | None:
    if isinstance(work, Stage):
        fill(work, lambda stage: _news.put((work.cell.key, stage)))
        return None
    _news.put((work.key, ""))
    try:
        return run_cell(work, session, lambda stage: _news.put((work.key, stage)))
    except Exception:  # what the harness itself did wrong: an unwritable record, say
        return Outcome(work, "failed", notes=(traceback.format_exc(),))


def fill(stage: Stage, announce: Callable[[str], None] = lambda stage: None) -> None:
    """Compute a stage for the cells that need it. Where it fails, they fail, and say why."""
    torch.set_num_threads(stage.cell.task.threads)
    watch_stages(announce)
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stage.call()
