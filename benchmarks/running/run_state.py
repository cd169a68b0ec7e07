"""What a run does now: which cells run, how many are left and until when, also as a file."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.planning.cell import Cell
from benchmarks.running.progress import Estimate, duration
from benchmarks.running.session import Outcome
from benchmarks.texts import utf8
from mosaic.fl.files import write_whole
from mosaic.fl.unfinished import is_left, machine, unfinished

FILE = "running"
"""The file is ``.running.<process>@<machine>``: what a dead process left is known by its name."""

SECONDS_BETWEEN_FILES = 5
"""Between two looks at whether the file is to be written again."""

SILENT_S = 120
"""A run that has not written its file for so long has ended, or cannot be seen from here."""


@dataclass
class Running:
    """A cell, or a stage on behalf of one, that runs now.

    Attributes:
        title: the cell in one line.
        begun: when it began, in seconds since 1970.
        expected: seconds that it takes by the cells like it; None if that is not known.
        stage: the stage that is computed now; empty if it is none.
    """

    title: str
    begun: float
    expected: float | None
    stage: str = ""


@dataclass
class Summary:
    """What the file of a run has.

    Attributes:
        cells: all cells of the run.
        before: those that were finished before it.
        ended: those that ended in it, by status.
        left: those that have not ended, by label.
        running: those of them that run now.
        jobs: processes.
        begun: when it began, in seconds since 1970.
        written: when this was true.
        seconds_left: from then until the last cell has ended; None if that is not known.
        machine: where it runs.
        alive: whether it goes on, as far as can be seen.
    """

    cells: int
    before: int
    ended: dict[str, int]
    left: dict[str, int]
    running: list[Running]
    jobs: int
    begun: float
    written: float
    seconds_left: float | None
    machine: str = field(default_factory=machine)
    alive: bool = True

    @property
    def n_ended(self) -> int:
        """Cells that need not be run any more."""
        return self.before + sum(self.ended.values())


def clock(seconds: float) -> str:
    """A number of seconds as 0:07, 12:30 or 3:20:10."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minute}:{second:02}"


def time_left(summary: Summary) -> str:
    """How long the cells that are left take, and until when, in words."""
    if summary.seconds_left is None:
        return "no estimate yet"
    end = time.localtime(summary.written + summary.seconds_left)
    form = "%H:%M" if summary.seconds_left < 72_000 else "%a %H:%M"
    return f"{duration(summary.seconds_left)} left, until {time.strftime(form, end)}"


class RunState:
    """What a run does now. Several threads may ask.

    Args:
        cells: the cells to run.
        n_finished: how many were finished before.
        estimate: learns from each finished cell.
        jobs: number of processes.
    """

    def __init__(self, cells: Sequence[Cell], n_finished: int, estimate: Estimate, jobs: int):
        self.estimate = estimate
        self.jobs = jobs
        self.n_finished = n_finished
        self.n_ended = 0
        self._cells = {cell.key: cell for cell in cells}
        self._left = dict(self._cells)
        self._running: dict[str, Running] = {}
        self._ended: Counter[str] = Counter()
        self._begun = time.time()
        self._seconds_left: float | None = None
        self._estimated = self._begun
        self._lock = threading.Lock()
        self._estimate_left()

    def watch(self, work: str, cell: str, stage: str | None) -> None:
        """Note what has started, or that a stage is over; see ``processes.Watch``."""
        with self._lock:
            if stage is None:
                self._running.pop(work, None)
                return
            if work not in self._running:
                expected = None
                if work == cell:
                    expected = self.estimate.seconds_of(self._cells[cell])
                self._running[work] = Running(self._cells[cell].title, time.time(), expected)
            self._running[work].stage = stage

    def end(self, outcome: Outcome) -> None:
        """Count a cell that has ended."""
        key = outcome.cell.key
        with self._lock:
            self._running.pop(key, None)
            self._left.pop(key, None)
            self._ended[outcome.status] += 1
            self.n_ended += 1
            if outcome.status == "done":
                self.estimate.add(outcome.cell)
            self._estimate_left()

    def _estimate_left(self) -> None:
        """Estimate how long the cells that are left take, without what running ones have done."""
        self._estimated = time.time()
        jobs = min(self.jobs, max(1, len(self._left)))
        seconds = self.estimate.seconds(self._left.values(), jobs)
        if seconds is not None:
            for entry in self._running.values():
                if entry.expected is not None:
                    seconds -= min(self._estimated - entry.begun, entry.expected) / jobs
        self._seconds_left = seconds

    def summary(self) -> Summary:
        """What is done, what runs and what is left."""
        with self._lock:
            now = time.time()
            seconds_left = self._seconds_left
            if seconds_left is not None:
                seconds_left = max(0.0, seconds_left - (now - self._estimated))
            return Summary(
                cells=self.n_finished + len(self._cells),
                before=self.n_finished,
                ended=dict(self._ended),
                left=dict(Counter(cell.label for cell in self._left.values())),
                running=[Running(**asdict(entry)) for entry in self._running.values()],
                jobs=self.jobs,
                begun=self._begun,
                written=now,
                seconds_left=seconds_left,
            )


@contextlib.contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call a function again and again, in a thread of its own, until the block's end.

    Args:
        seconds: between the end of a call and the next one.
        call: what it cannot write (a full disk, an output that nobody reads) ends the calls: the
            run itself finds the same, and says so.
    """
    over = threading.Event()

    def repeat() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(seconds):
                call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def state_file(state: RunState, folder: Path) -> Iterator[None]:
    """In the block, the suite's folder has a file that says what its run does."""
    folder.mkdir(parents=True, exist_ok=True)
    with unfinished(folder / FILE) as path:

        def write() -> None:
            write_whole(path, utf8(json.dumps(asdict(state.summary()))))

        write()
        with every(SECONDS_BETWEEN_FILES, write):
            yield


def runs_in(folder: Path) -> list[Summary]:
    """The runs that write into a suite's folder now, and those that were killed in it."""
    found = []
    for path in sorted(folder.glob(f".{FILE}.*@*")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            running = [Running(**entry) for entry in values.pop("running")]
            summary = Summary(**values, running=running)
        except (OSError, ValueError, TypeError, KeyError):  # it ended just now, or is damaged
            continue
        summary.alive = not is_left(path) and time.time() - summary.written < SILENT_S
        found.append(summary)
    return found
