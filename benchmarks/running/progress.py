"""The time that cells will take, by those that have run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.planning.cell import Cell
from benchmarks.running.records import done_file, read_rows


class Estimate:
    """Seconds that cells will take, from finished cells of the same method, data set and size.

    These are cells that ran here before, or earlier in this run. A stage counts once for all cells
    of one partition, and not at all if a finished cell has used it.

    Args:
        folder: the suite's folder.
        cells: those whose records are looked at.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell]):
        self.folder = folder
        self.method_seconds: dict[tuple, list[float]] = {}  # by kind of cell
        self.stage_seconds: dict[tuple, dict[str, list[float]]] = {}  # by kind of cell and stage
        self.computed: set[tuple] = set()  # (partition, stage)
        for cell in cells:
            self.add(cell)

    def add(self, cell: Cell) -> None:
        """Learn from the record of a cell, if it is done."""
        rows = read_rows(done_file(self.folder, cell))
        if rows:
            self.learn(cell, rows[-1])

    def learn(self, cell: Cell, row: dict[str, Any]) -> None:
        """Learn from the last row of a cell's record, if it is done."""
        if row["status"] != "done" or row.get("method_s") is None:
            return
        kind = _kind(cell)
        self.method_seconds.setdefault(kind, []).append(row["method_s"])
        for column, seconds in row.items():
            if column.startswith("stage_s_") and seconds:
                self.stage_seconds.setdefault(kind, {}).setdefault(column, []).append(seconds)
                self.computed.add((_partition(cell), column))

    def seconds(self, cells: Iterable[Cell], jobs: int) -> float | None:
        """Return the seconds that these cells take in ``jobs`` processes.

        A cell of an unknown kind counts as the mean of the known kinds. None if no kind is known.
        """
        if not self.method_seconds:
            return None
        by_kind = {kind: fmean(seconds) for kind, seconds in self.method_seconds.items()}
        overall = fmean(by_kind.values())
        total = 0.0
        stages: dict[tuple, float] = {}
        for cell in cells:
            kind = _kind(cell)
            partition = _partition(cell)
            total += by_kind.get(kind, overall)
            for stage, seconds in self.stage_seconds.get(kind, {}).items():
                if (partition, stage) not in self.computed:
                    stages[partition, stage] = fmean(seconds)
        return (total + sum(stages.values())) / jobs

    def seconds_of(self, cell: Cell) -> float | None:
        """Return the seconds that one cell takes; None if none of its kind has run."""
        if _kind(cell) not in self.method_seconds:
            return None
        return self.seconds([cell], 1)

    def text(self, cells: Sequence[Cell], jobs: int) -> str:
        """Return the estimate in words."""
        if not cells:
            return "nothing to do"
        seconds = self.seconds(cells, jobs)
        if seconds is None:
            return "no cell like them has run here yet, so there is no estimate"
        processes = "1 job" if jobs == 1 else f"{jobs} jobs"
        return f"about {duration(seconds)} with {processes}, by the cells that have run here"


def _kind(cell: Cell) -> tuple:
    return cell.label, cell.task.dataset, cell.task.n_clients, cell.scale


def _partition(cell: Cell) -> tuple:
    task = cell.task
    return task.dataset, task.omega, task.n_clients, task.widths, task.seed, cell.scale


def duration(seconds: float) -> str:
    """Return a number of seconds as a short text, in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
