"""What can run when: a stage before the cells that ask for it, each once, and near the end what is longest first.

A method that says in ``stages(task, config)`` what it will ask of the store, wave after wave, has these computed side
by side, and none of its processes waits for another's. One that says nothing is one piece of work.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.cells import METHODS, Cell
from mosaic.fl.task import Skip


@dataclass(frozen=True, eq=False)
class Stage:
    """A call of a stage that fills the cache, on behalf of the first cell that asks for it."""

    call: partial
    cell: Cell

    @property
    def name(self) -> str:
        return self.call.func.__name__

    @property
    def key(self) -> str:
        return f"{self.name}/{self.call.func.key_of(*self.call.args, **self.call.keywords)}"

    @property
    def kind(self) -> tuple:
        return self.name, self.cell.task.dataset, self.cell.task.n_clients


Work = Cell | Stage


def waves(cell: Cell) -> Iterator[list[Stage]]:
    """What the cell asks of the store: the calls of a wave need only those of the waves before."""
    said: Callable | None = getattr(METHODS[cell.method], "stages", None)
    try:
        for wave in said(cell.task, cell.config) if said else ():
            yield [Stage(call, cell) for call in wave]
    except Skip:  # the cell itself will say so
        return


class Schedule:
    """The work that is left. ``take`` what can run now, and say when it has ``ended``."""

    def __init__(self, cells: Iterable[Cell], jobs: int = 1):
        self.jobs = jobs
        self.waiting: dict[str, Work] = {}
        self.needs: dict[str, set[str]] = {}
        self.running: set[str] = set()
        self.took: dict[tuple, list[float]] = {}
        for cell in cells:
            before: set[str] = set()
            for wave in waves(cell):
                missing = {s.key: s for s in wave if not s.call.func.is_cached(*s.call.args, **s.call.keywords)}
                for key, stage in missing.items():
                    if key not in self.waiting:
                        self.waiting[key], self.needs[key] = stage, before
                before = set(missing) or before
            self.waiting[cell.key], self.needs[cell.key] = cell, before

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self) -> Work | None:
        """A cell that can run, else a stage, in their order, and near the end the longest chain of them.

        None where all that is left waits for what runs.
        """
        unfinished = self.waiting.keys() | self.running
        open_now = [key for key in self.waiting if not self.needs[key] & unfinished]
        if not open_now:
            return None
        own, length = self._lengths()
        if sum(own.values()) > 2 * self.jobs * max(length.values()):  # far from the end: records as early as may be
            key = next((key for key in open_now if isinstance(self.waiting[key], Cell)), open_now[0])
        else:  # what is long must not begin last
            key = max(open_now, key=length.__getitem__)
        self.running.add(key)
        return self.waiting.pop(key)

    def ended(self, work: Work, seconds: float | None = None) -> None:
        """A piece of work is over; with the seconds it took, unless it was lost."""
        self.running.discard(work.key)
        if seconds is not None:
            self.took.setdefault(_kind(work), []).append(seconds)

    def _lengths(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of each piece, by what its like has taken, and those to the end of the last that waits for it."""
        mean = {kind: sum(values) / len(values) for kind, values in self.took.items()}
        usual = max(mean.values(), default=1.0)  # what has not run yet may be long
        own = {key: mean.get(_kind(work), usual) for key, work in self.waiting.items()}
        length = dict(own)
        for key in reversed(self.waiting):  # what is needed stands before those who need it
            for needed in self.needs[key] & self.waiting.keys():
                length[needed] = max(length[needed], own[needed] + length[key])
        return own, length


def _kind(work: Work) -> tuple:
    return work.kind if isinstance(work, Stage) else (work.label, work.task.dataset, work.task.n_clients)
