"""What can run when: a stage before the cells that ask for it, each once, and near the end what is longest first.

A method that says in ``stages(task, config)`` what it will ask of the store, wave after wave, has these computed side
by side, and none of its processes waits for another's. One that says nothing is one piece of work.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS
from mosaic.fl.contract import Skip


@dataclass(frozen=True, eq=False)
class Stage:
    """A call of a stage that fills the cache, on behalf of the first cell that asks for it."""

    call: partial
    cell: Cell

    @property
    def name(self) -> str:
        return self.call.func.stage_name

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
    """The work that is left. ``take`` what can run now, and say when it has ``ended``.

    A wave is the set of what has not ended of it; all that waits for a wave shares its set.
    """

    def __init__(self, cells: Iterable[Cell], jobs: int = 1):
        self.jobs = jobs
        self.waiting: dict[str, Work] = {}  # what is needed stands before those who need it
        self.waits_for: dict[str, set[str]] = {}  # the wave before a piece of work
        self.part_of: dict[str, list[set[str]]] = {}  # the waves that a stage belongs to
        self.took: dict[tuple, list[float]] = {}
        for cell in cells:
            before: set[str] = set()
            for stages in waves(cell):
                missing = {
                    s.key: s
                    for s in stages
                    if not s.call.func.is_cached(*s.call.args, **s.call.keywords)
                }
                wave = set(missing)
                for key, stage in missing.items():
                    self.part_of.setdefault(key, []).append(wave)
                    if key not in self.waiting:
                        self.waiting[key], self.waits_for[key] = stage, before
                before = wave or before
            self.waiting[cell.key], self.waits_for[cell.key] = cell, before

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self) -> Work | None:
        """A cell that can run, else a stage, in their order, and near the end the longest chain of them.

        None where all that is left waits for what runs.
        """
        open_now = [key for key in self.waiting if not self.waits_for[key]]
        if not open_now:
            return None
        own, length = self._lengths()
        if sum(own.values()) > 2 * self.jobs * max(
            length.values()
        ):  # far from the end: records as early as may be
            key = next(
                (key for key in open_now if isinstance(self.waiting[key], Cell)), open_now[0]
            )
        else:  # what is long must not begin last
            key = max(open_now, key=length.__getitem__)
        return self.waiting.pop(key)

    def ended(self, work: Work, seconds: float | None = None) -> None:
        """A piece of work is over; with the seconds it took, unless it was lost."""
        for wave in self.part_of.get(work.key, ()):
            wave.discard(work.key)
        if seconds is not None:
            self.took.setdefault(_kind(work), []).append(seconds)

    def _lengths(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of each piece, by what its like has taken, and those to the end of the last that waits for it."""
        mean = {kind: sum(values) / len(values) for kind, values in self.took.items()}
        usual = max(mean.values(), default=1.0)  # what has not run yet may be long
        own = {key: mean.get(_kind(work), usual) for key, work in self.waiting.items()}
        length: dict[str, float] = {}
        after: dict[int, float] = {}  # by the wave: the longest of what waits for it
        for key in reversed(self.waiting):
            length[key] = own[key] + max(
                (after.get(id(wave), 0.0) for wave in self.part_of.get(key, ())), default=0.0
            )
            wave = id(self.waits_for[key])
            after[wave] = max(after.get(wave, 0.0), length[key])
        return own, length


def _kind(work: Work) -> tuple:
    return (
        work.kind
        if isinstance(work, Stage)
        else (work.label, work.task.dataset, work.task.n_clients)
    )
