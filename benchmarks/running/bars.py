"""Progress of a run on the terminal: lines of what has ended, bars of what runs, the time left."""

import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from benchmarks.running.processes import Watch
from benchmarks.running.progress import duration
from benchmarks.running.run_state import RunState, Summary, clock, every, time_left
from benchmarks.running.session import Outcome

SECONDS_BETWEEN_LINES = 60
"""Between two lines on the progress in a log file, which has no bars."""

SECONDS_BETWEEN_DRAWINGS = 1


class _Bars:
    """A bar of all cells, and one per running cell with its stage.

    A cell's bar is full when the cell has taken as long as those like it. Where no cell like it has
    run, and of a stage, the bar moves without an end.
    """

    def __init__(self, progress: Progress, state: RunState):
        self.progress = progress
        self.state = state
        self.rows: dict[tuple[str, float], TaskID] = {}  # by title and begin
        summary = state.summary()
        self.all_cells = progress.add_task("", total=summary.cells, amount="", now="")

    def draw(self) -> None:
        summary = self.state.summary()
        seconds = time.time() - summary.begun
        self.progress.update(
            self.all_cells,
            completed=summary.n_ended,
            amount=f"{summary.n_ended}/{summary.cells} cells",
            now=f"[cyan]{time_left(summary)}[/]  {clock(seconds)} so far",
        )
        present = {(entry.title, entry.begun): entry for entry in summary.running}
        for key in self.rows.keys() - present.keys():
            self.progress.remove_task(self.rows.pop(key))
        for key, entry in present.items():
            if key not in self.rows:
                self.rows[key] = self.progress.add_task("", total=None, amount="", now="")
            seconds = time.time() - entry.begun
            amount = clock(seconds)
            if entry.expected is not None:
                amount += f" of about {clock(entry.expected)}"
            text = f"{entry.title}: {entry.stage}" if entry.stage else entry.title
            self.progress.update(
                self.rows[key],
                total=entry.expected,
                completed=min(seconds, entry.expected or 0),
                amount=amount,
                now=escape(text),
            )
        self.progress.refresh()


def progress_line(summary: Summary) -> str:
    """The progress in one line of a log file."""
    texts = []
    for entry in summary.running:
        stage = f"{entry.stage}, " if entry.stage else ""
        seconds = duration(summary.written - entry.begun)
        texts.append(f"{entry.title} ({stage}for {seconds})")
    running = "; ".join(texts) or "nothing"
    return f"{summary.n_ended} of {summary.cells} cells, {time_left(summary)}; running: {running}"


def show_progress(
    start: Callable[[Watch], Generator[Outcome]], state: RunState, console: Console
) -> Generator[Outcome]:
    """Pass on the outcomes of cells; print a line for each, above the bars.

    Between two outcomes the caller may print to the same console, above the bars. Of a failed or
    skipped cell the reason is printed; what a finished cell's record warns of is left to the
    report, and Python warnings are printed once each at the end.

    Args:
        start: starts the run; it is given the function to call when a cell or a stage starts.
            What it returns is closed at the end, also after an error: its processes are gone then.
        state: learns what runs, and how each cell ended.
        console: where to print; bars are shown only on a terminal, and in a file a line a minute.
    """
    warned: Counter[str] = Counter()

    def print_line() -> None:
        console.print(escape(progress_line(state.summary())), highlight=False, soft_wrap=True)

    progress = Progress(
        BarColumn(20),
        TextColumn("{task.fields[amount]}"),
        TextColumn("{task.fields[now]}", table_column=Column(overflow="fold")),
        console=console,
        disable=not console.is_terminal,
        auto_refresh=False,
    )
    bars = _Bars(progress, state)
    if console.is_terminal:
        shown = every(SECONDS_BETWEEN_DRAWINGS, bars.draw)
    else:
        shown = every(SECONDS_BETWEEN_LINES, print_line)
    with progress:
        with shown, closing(start(state.watch)) as outcomes:
            for outcome in outcomes:
                state.end(outcome)
                _print_outcome(console, outcome)
                if outcome.status == "done":
                    warned.update(set(outcome.notes))
                yield outcome
        bars.draw()  # what has ended since the last drawing
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
