"""Where cells run: in this process, or in several on this machine. Which one changes no record."""

import contextlib
import multiprocessing
import multiprocessing.queues
import os
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from benchmarks.cells import Cell
from benchmarks.harness import Outcome, Session, prepare, run_cell

Watch = Callable[[str, str], None]
"""Called with a cell's key and what it does now: a stage's name, or "" at its start."""


def run_cells(cells: Sequence[Cell], session: Session, jobs: int, watch: Watch) -> Iterator[Outcome]:
    """Run the cells, ``jobs`` at a time, and yield each outcome as it comes. A failing cell stops no other."""
    if jobs == 1:
        prepare(session)
        for cell in cells:
            watch(cell.key, "")
            yield run_cell(cell, session, lambda stage, key=cell.key: watch(key, stage))
    else:
        yield from _in_processes(list(cells), session, jobs, watch)


def _in_processes(waiting: list[Cell], session: Session, jobs: int, watch: Watch) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(jobs, context, _enter, (session, news)))
        running: dict[Future, Cell] = {}
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = _next(waiting, list(running.values()))
                running[pool.submit(_work, cell, session)] = cell
            ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            with contextlib.suppress(queue.Empty):
                while True:
                    watch(*news.get_nowait())
            for future in ended:
                cell = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    # a worker was killed, by the system for its memory perhaps; a new pool goes on with the others
                    lost = [cell, *running.values()]
                    running.clear()
                    pool = stack.enter_context(ProcessPoolExecutor(jobs, context, _enter, (session, news)))
                    for broken in lost:
                        yield Outcome(broken, "failed", notes=("its process died (out of memory?); run again",))
                    break


def _next(waiting: list[Cell], running: list[Cell]) -> Cell:
    """Take the next cell; rather one whose task no running cell has, so that nobody waits for another's stage."""
    busy = {cell.task for cell in running}
    chosen = next((i for i, cell in enumerate(waiting) if cell.task not in busy), 0)
    return waiting.pop(chosen)


_news: multiprocessing.queues.Queue | None = None


def _enter(session: Session, news: multiprocessing.queues.Queue) -> None:
    """A worker's start: its session, its way to report, and a guard that ends it when the command is killed."""
    global _news
    _news = news
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    prepare(session)


def _work(cell: Cell, session: Session) -> Outcome:
    _news.put((cell.key, ""))
    try:
        return run_cell(cell, session, lambda stage: _news.put((cell.key, stage)))
    except Exception:  # what the harness itself did wrong: an unwritable record, say
        return Outcome(cell, "failed", notes=(traceback.format_exc(),))
