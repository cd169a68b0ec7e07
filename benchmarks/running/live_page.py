"""``--live``: a process beside the run writes its page again as cells end."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.planning.cell import Cell
from benchmarks.planning.outside import load_plugin
from benchmarks.planning.plugins import Plugin
from benchmarks.reporting.frames import with_infinities
from benchmarks.reporting.page.sources import FOLDER, Sources
from benchmarks.reporting.page.write import NAME, write_page
from benchmarks.reporting.parts import Failures
from benchmarks.running.records import load_records
from benchmarks.running.run_state import RunState, every, state_file
from benchmarks.running.worker_processes import Ended, Worker, Workers
from mosaic.fl.unfinished import sweep

if TYPE_CHECKING:
    from benchmarks.running.suite_run import SuiteRun

SECONDS_BETWEEN_PAGES = 10
"""Between a page and the next one, at least."""

SECONDS_WITHOUT_A_CELL = 120
"""After so long the page is written again although no cell has ended: it says what runs."""

SHARE = 0.05
"""Of the time is spent on pages, at most; so the rest of it is between two of them."""


class LivePages:
    """Asks a process for pages, when it is time for one.

    Args:
        workers: has the process.
        worker: the process.
        state: what the run does.
    """

    def __init__(self, workers: Workers, worker: Worker, state: RunState):
        self._workers = workers
        self._worker = worker
        self._state = state
        self._shown = 0  # cells that had ended when the last page was asked for
        self._asked: float | None = None  # when the page that is being written was asked for
        self._ready = time.monotonic()  # when the last page was there
        self._wait = 0.0  # seconds from then to the next one

    def look(self) -> None:
        """Take a page that is ready, and ask for the next one if it is time."""
        for _, message in self._workers.news(timeout=0):
            if isinstance(message, Ended):  # without pages the run goes on
                self._asked = float("inf")
                return
            self._asked = None
            self._ready = time.monotonic()
            self._wait = max(SECONDS_BETWEEN_PAGES, message * (1 - SHARE) / SHARE)
        if self._asked is not None:
            return

        passed = time.monotonic() - self._ready
        is_news = self._state.n_ended > self._shown or passed > SECONDS_WITHOUT_A_CELL
        if is_news and passed >= self._wait:
            self._shown = self._state.n_ended
            self._asked = time.monotonic()
            self._worker.send(None)


@contextlib.contextmanager
def shown_live(run: "SuiteRun", state: RunState) -> Iterator[None]:
    """In the block, files say what a run does: one for reports and, with ``--live``, the page."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(state_file(state, run.folder))
        if run.request.live:
            stack.enter_context(_live_page(run, state))
        yield


@contextlib.contextmanager
def _live_page(run: "SuiteRun", state: RunState) -> Iterator[None]:
    folder = run.folder
    plugins = run.session.plugins
    with Workers() as workers:
        worker = workers.start("page", _write_pages, folder, run.suite.reference, plugins)
        worker.send(run.cells)  # after the plugins, which they may be made of
        with every(1, LivePages(workers, worker, state).look):
            yield
    sweep(folder, deep=False)  # a page that was half written


# What follows runs in the process.


def _write_pages(pipe: Connection, folder: Path, reference: str, plugins: Sequence[Plugin]) -> None:
    """Write a page for each message, and answer with the seconds that it took."""
    if hasattr(os, "nice"):
        os.nice(19)  # the cells come first
    warnings.simplefilter("ignore")  # the run itself tells of damaged records
    for plugin in plugins:
        load_plugin(plugin)
    cells = pipe.recv()
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        begun = time.perf_counter()
        write_live_page(folder, cells, reference)
        pipe.send(time.perf_counter() - begun)


def write_live_page(folder: Path, cells: Sequence[Cell], reference: str) -> Failures:
    """Write the page of the cells that have ended; the others are left, and no alarms.

    Returns:
        What could not be made. The page names it.
    """
    records = with_infinities(load_records(folder, cells))
    failures: Failures = []
    sources = Sources(records.assign(**{FOLDER: str(folder)}), [folder])
    write_page(sources, reference, folder / NAME, failures)
    return failures
