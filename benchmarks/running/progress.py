"""Progress of a run on the terminal: cells done, what runs now, time left."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from benchmarks.planning.cell import Cell
from benchmarks.running.records import done_file, read_rows
from benchmarks.running.session import Outcome
from benchmarks.texts import one_line


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


class _Bar:
    """The bar below the printed lines: what runs now, and the time left for the cells left."""

    def __init__(
        self,
        cells: Sequence[Cell],
        estimate: Estimate,
        jobs: int,
        progress: Progress,
        task: TaskID,
    ):
        self.progress = progress
        self.task = task
        self.cells = {cell.key: cell for cell in cells}
        self.left = dict(self.cells)
        self.now: dict[str, str] = {}  # by a cell's key: the text of what runs
        self.estimate = estimate
        self.jobs = jobs

    def watch(self, key: str, stage: str) -> None:
        """Show that a cell, or a stage for it, has started."""
        cell = self.cells[key]
        text = one_line(f"{cell.label} omega={cell.task.omega:g}")
        if stage:
            text += f": {stage}"
        self.now[key] = text
        self.refresh()

    def end(self, outcome: Outcome) -> None:
        """Count a cell that has ended."""
        key = outcome.cell.key
        self.now.pop(key, None)
        self.left.pop(key, None)
        if outcome.status == "done":
            self.estimate.add(outcome.cell)
        self.progress.advance(self.task)
        self.refresh()

    def refresh(self) -> None:
        seconds = self.estimate.seconds(self.left.values(), self.jobs)
        remaining = "no estimate yet" if seconds is None else f"{duration(seconds)} left"
        running = escape("; ".join(self.now.values()))
        self.progress.update(self.task, now=f"[cyan]{remaining}[/]  {running}")


def show_progress(
    start: Callable[[Callable[[str, str], None]], Generator[Outcome]],
    cells: Sequence[Cell],
    n_finished: int,
    estimate: Estimate,
    jobs: int,
    console: Console,
) -> Generator[Outcome]:
    """Pass on the outcomes of cells; print a line for each, above a bar.

    Between two outcomes the caller may print to the same console, above the bar. Of a failed or
    skipped cell the reason is printed; what a finished cell's record warns of is left to the
    report, and Python warnings are printed once each at the end.

    Args:
        start: starts the run; it is given the function to call when a cell or a stage starts.
            What it returns is closed at the end, also after an error: its processes are gone then.
        cells: the cells to run.
        n_finished: how many were finished before.
        estimate: learns from each finished cell.
        jobs: number of processes.
        console: where to print; the bar is shown only on a terminal.
    """
    warned: Counter[str] = Counter()
    with Progress(
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("cells"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}", table_column=Column(overflow="fold")),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        total = n_finished + len(cells)
        task = progress.add_task("", total=total, completed=n_finished, now="")
        bar = _Bar(cells, estimate, jobs, progress, task)
        with closing(start(bar.watch)) as outcomes:
            for outcome in outcomes:
                bar.end(outcome)
                _print_outcome(console, outcome)
                if outcome.status == "done":
                    warned.update(set(outcome.notes))
                yield outcome
    for text, n_cells in warned.items():
        line = f"[yellow]{escape(text)}[/] [dim](cells: {n_cells})[/]"
        console.print(line, highlight=False, soft_wrap=True)


COLOURS = {"done": "green", "skipped": "yellow", "failed": "red"}


def _print_outcome(console: Console, outcome: Outcome) -> None:
    """A cell's line; below it the reason, if it failed or was skipped."""
    text = f"[{COLOURS[outcome.status]}]{outcome.status:7}[/] {escape(outcome.cell.title)}"
    if outcome.status == "done":
        text += f" {outcome.accuracy:.1%}"
    text += f" [dim]{duration(outcome.seconds)}[/]"
    console.print(text, highlight=False, soft_wrap=True)
    if outcome.status != "done" and outcome.notes:
        reason = f"        [yellow]{escape(outcome.notes[0])}[/]"
        console.print(reason, highlight=False, soft_wrap=True)
