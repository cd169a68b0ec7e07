"""Which work can run when: stages before the cells that need them, each of them once.

A method that declares in ``stages(task, config)`` which cached stages it will use, wave after wave,
has them computed side by side, and no process waits for a stage that another one computes. A method
that declares nothing is one piece of work.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS
from mosaic.fl.contract import Skip


@dataclass(frozen=True, eq=False)
class Stage:
    """A call of a stage that fills the cache, on behalf of the first cell that needs it."""

    call: partial
    cell: Cell

    @property
    def name(self) -> str:
        """The stage's name in the cache."""
        return self.call.func.stage_name

    @property
    def key(self) -> str:
        """ "name/key" of its artifact in the cache."""
        return f"{self.name}/{self.call.func.key_of(*self.call.args, **self.call.keywords)}"

    @property
    def cached(self) -> bool:
        """Is its artifact in the cache already?"""
        return self.call.func.is_cached(*self.call.args, **self.call.keywords)

    @property
    def kind(self) -> tuple:
        """Stages of one kind take about the same time."""
        return self.name, self.cell.task.dataset, self.cell.task.n_clients


Work = Cell | Stage


def waves(cell: Cell) -> Iterator[list[Stage]]:
    """Yield the stages that a cell will use, in waves: a wave needs only the waves before it."""
    declare = getattr(METHODS[cell.method], "stages", None)
    if declare is None:
        return
    try:
        for wave in declare(cell.task, cell.config):
            yield [Stage(call, cell) for call in wave]
    except Skip:  # the cell itself will record the reason
        return


def group_of(cell: Cell) -> tuple:
    """Return the cell's group: the cells of all methods that are compared for one seed."""
    task = cell.task
    return task.dataset, task.n_clients, cell.widths, task.omega, task.seed


def in_running_order(cells: list[Cell], omegas: list[float]) -> list[Cell]:
    """The cells so that one whole comparison comes first: the first seed at the middle omega.

    Args:
        cells: cells, those of one task together.
        omegas: the run's concentrations in their order.

    Returns:
        The same cells by seed; of each seed first those of the middle omega, then the others as
        they were given.
    """
    middle = omegas[len(omegas) // 2]

    def rank(cell: Cell) -> tuple:
        is_middle = cell.task.omega == middle
        return cell.task.seed, not is_middle

    return sorted(cells, key=rank)


class Schedule:
    """The work that has not started yet.

    ``take`` returns a piece of work that can run now; call ``ended`` when it is over. Groups (see
    :func:`group_of`) are worked off one after the other, in the order of the cells: work of a
    later group starts only while nothing of the earlier ones can run. The first group's results are
    therefore complete early in a long run.

    Args:
        cells: in the order in which their groups are wanted.
        jobs: how many pieces of work run at a time.
    """

    def __init__(self, cells: Iterable[Cell], jobs: int = 1):
        self.jobs = jobs
        self.waiting: dict[str, Work] = {}  # by key; a piece of work comes after what it needs
        self._group: dict[str, int] = {}  # by key: the place of its group
        self._needs: dict[str, int | None] = {}  # by key: the wave that must be over before it
        self._unfinished: list[set[str]] = []  # by wave: the keys of its unfinished stages
        self._waves_of: dict[str, list[int]] = {}  # by a stage's key: the waves that it is part of
        self._seconds: dict[tuple, list[float]] = {}  # by kind of work
        places: dict[tuple, int] = {}
        for cell in cells:
            place = places.setdefault(group_of(cell), len(places))
            self._add_cell(cell, place)

    def _add_cell(self, cell: Cell, place: int) -> None:
        """Add a cell after its waves of stages, without those that are cached."""
        before: int | None = None
        for stages in waves(cell):
            missing = {stage.key: stage for stage in stages if not stage.cached}
            if not missing:
                continue
            for key, stage in missing.items():
                if key not in self.waiting:  # else an earlier cell needs it too
                    self._add(key, stage, place, before)
            before = len(self._unfinished)
            self._unfinished.append(set(missing))
            for key in missing:
                self._waves_of.setdefault(key, []).append(before)
        self._add(cell.key, cell, place, before)

    def _add(self, key: str, work: Work, place: int, needs: int | None) -> None:
        self.waiting[key] = work
        self._group[key] = place
        self._needs[key] = needs

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self) -> Work | None:
        """Remove and return a piece of work that can run now.

        It is of the earliest group that has one: a cell before a stage, so that records are written
        early. Near the end of the run it is the first of the longest chain of work instead, of
        any group, so that no long chain is left for one process.

        Returns:
            None if all that is left waits for work that is running.
        """
        ready = [key for key in self.waiting if self._is_ready(key)]
        if not ready:
            return None
        own, chain = self._lengths()
        near_the_end = sum(own.values()) <= 2 * self.jobs * max(chain.values())
        if near_the_end:
            key = max(ready, key=lambda key: chain[key])
        else:
            key = min(ready, key=self._priority)
        return self.waiting.pop(key)

    def _is_ready(self, key: str) -> bool:
        wave = self._needs[key]
        return wave is None or not self._unfinished[wave]

    def _priority(self, key: str) -> tuple[int, bool]:
        """Earlier groups first, and within a group cells before stages."""
        return self._group[key], isinstance(self.waiting[key], Stage)

    def ended(self, work: Work, seconds: float | None = None) -> None:
        """Record that a piece of work is over.

        Args:
            work: what ``take`` returned. If it failed or was lost, what waits for it can run all
                the same: a cell computes the stages that are missing.
            seconds: how long it took; None if it was lost.
        """
        for wave in self._waves_of.get(work.key, []):
            self._unfinished[wave].discard(work.key)
        if seconds is not None:
            self._seconds.setdefault(_kind(work), []).append(seconds)

    def _lengths(self) -> tuple[dict[str, float], dict[str, float]]:
        """Expected seconds of each waiting piece of work, and of the longest chain from it on."""
        mean = {kind: sum(taken) / len(taken) for kind, taken in self._seconds.items()}
        unknown = max(mean.values(), default=1.0)  # what has not run yet may be long
        own = {key: mean.get(_kind(work), unknown) for key, work in self.waiting.items()}

        # Backwards: what waits for a wave is after the wave's stages in ``waiting``.
        chain: dict[str, float] = {}
        after_wave: dict[int, float] = {}  # the longest chain of what waits for the wave
        for key in reversed(self.waiting):
            waves_of = self._waves_of.get(key, [])
            rest = max((after_wave.get(wave, 0.0) for wave in waves_of), default=0.0)
            chain[key] = own[key] + rest
            needed = self._needs[key]
            if needed is not None:
                after_wave[needed] = max(after_wave.get(needed, 0.0), chain[key])
        return own, chain


def _kind(work: Work) -> tuple:
    if isinstance(work, Stage):
        return work.kind
    return work.label, work.task.dataset, work.task.n_clients
