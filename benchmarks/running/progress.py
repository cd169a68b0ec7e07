"""Progress of a run on the terminal: cells done, what runs now, time left."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.planning.cell import Cell
from benchmarks.running.records import done_file, read_rows
from benchmarks.running.session import Outcome


class Estimate:
    """Seconds that cells take, by what cells of the same method, data set and size took: here before, or in this run.

    A stage counts once for all cells of one partition, and not at all where a finished cell has used it.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell]):
        self.folder = folder
        self.own: dict[tuple, list[float]] = {}  # by kind of cell: its method's seconds
        self.stages: dict[tuple, dict[str, list[float]]] = {}  # by kind of cell and stage
        self.computed: set[tuple] = set()
        for cell in cells:
            self.add(cell)

    def add(self, cell: Cell) -> None:
        """Learn from the record of a cell, where it is done."""
        row = (read_rows(done_file(self.folder, cell)) or [{}])[-1]
        if row.get("status") == "done":
            self.own.setdefault(_kind(cell), []).append(row["method_s"])
            for stage in (
                column for column in row if column.startswith("stage_s_") and row[column]
            ):
                self.stages.setdefault(_kind(cell), {}).setdefault(stage, []).append(row[stage])
                self.computed.add((_partition(cell), stage))

    def seconds(self, cells: Sequence[Cell], jobs: int) -> float | None:
        """For these cells in ``jobs`` processes; None where nothing like them has run yet."""
        if not self.own:
            return None
        own = {kind: fmean(values) for kind, values in self.own.items()}
        overall = fmean(own.values())
        stages: dict[tuple, float] = {}
        for cell in cells:
            for stage, values in self.stages.get(_kind(cell), {}).items():
                if (_partition(cell), stage) not in self.computed:
                    stages[_partition(cell), stage] = fmean(values)
        return (sum(own.get(_kind(cell), overall) for cell in cells) + sum(stages.values())) / jobs

    def text(self, cells: Sequence[Cell], jobs: int) -> str:
        if not cells:
            return "nothing to do"
        seconds = self.seconds(cells, jobs)
        if seconds is None:
            return "no cell like them has run here yet, so there is no estimate"
        return f"about {duration(seconds)} with {jobs} job{'s' * (jobs > 1)}, by the cells that have run here"


def _kind(cell: Cell) -> tuple:
    return cell.label, cell.task.dataset, cell.task.n_clients, cell.scale


def _partition(cell: Cell) -> tuple:
    task = cell.task
    return task.dataset, task.omega, task.n_clients, task.widths, task.seed, cell.scale


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def show_progress(
    start: Callable[[Callable[[str, str], None]], Iterator[Outcome]],
    cells: Sequence[Cell],
    n_finished: int,
    estimate: Estimate,
    jobs: int,
    console: Console,
) -> Iterator[Outcome]:
    """Pass the outcomes on, a printed line each, above a bar with what runs now and the time left."""
    by_key = {cell.key: cell for cell in cells}
    now: dict[str, str] = {}
    left = list(cells)
    columns: list[Any] = [
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("cells"),
        TimeElapsedColumn(),
    ]
    with Progress(
        *columns, TextColumn("{task.fields[now]}"), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=n_finished + len(cells), completed=n_finished, now="")

        def refresh() -> None:
            seconds = estimate.seconds(left, jobs)
            remaining = f"{duration(seconds)} left" if seconds is not None else "no estimate yet"
            bar.update(task, now=f"[cyan]{remaining}[/]  {escape('; '.join(now.values()))}")

        def watch(key: str, stage: str) -> None:
            now[key] = (
                f"{by_key[key].label} omega={by_key[key].task.omega:g}{f': {stage}' if stage else ''}"
            )
            refresh()

        for outcome in start(watch):
            now.pop(outcome.cell.key, None)
            left.remove(outcome.cell)
            if outcome.status == "done":
                estimate.add(outcome.cell)
            bar.advance(task)
            refresh()
            _print(console, outcome)
            yield outcome


def _print(console: Console, outcome: Outcome) -> None:
    colour = {"done": "green", "skipped": "yellow", "failed": "red"}[outcome.status]
    result = f" {outcome.accuracy:.1%}" if outcome.status == "done" else ""
    text = f"[{colour}]{outcome.status:7}[/] {escape(outcome.cell.title)}{result} [dim]{duration(outcome.seconds)}[/]"
    console.print(text, highlight=False, soft_wrap=True)
    for note in outcome.notes:
        console.print(f"        [yellow]{escape(note)}[/]", highlight=False, soft_wrap=True)
