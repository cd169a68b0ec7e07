"""Tables in the terminal while a run goes on."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import console
from benchmarks.planning.cell import Cell
from benchmarks.reporting.frames import with_status
from benchmarks.reporting.terminal import terminal_table
from benchmarks.running.records import load_records
from benchmarks.running.schedule import group_of
from benchmarks.running.session import Outcome

SECONDS_BETWEEN_TABLES = 120
"""Between two interim tables in the terminal. The first comes as soon as one comparison is done."""


class InterimTables:
    """Prints a table whenever all methods of one setting are done.

    Args:
        folder: the suite's folder.
        cells: all cells of the run.
        missing: those that are run now.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell], missing: Sequence[Cell]):
        self._folder = folder
        self._cells = cells
        self._printed = -math.inf
        self._left: dict[tuple, set[str]] = {}
        for cell in missing:
            self._left.setdefault(group_of(cell), set()).add(cell.key)

    def after(self, outcome: Outcome) -> None:
        """Print the table of a cell's setting, if the cell was the last of its group."""
        group = group_of(outcome.cell)
        self._left[group].discard(outcome.cell.key)
        if self._left[group]:
            return

        del self._left[group]
        if self._left and time.monotonic() - self._printed > SECONDS_BETWEEN_TABLES:
            self._print(group)
            self._printed = time.monotonic()

    def _print(self, group: tuple) -> None:
        """The table of what is done of a group's data set, number of clients and widths."""
        setting = group[:3]
        cells = [cell for cell in self._cells if group_of(cell)[:3] == setting]
        records = load_records(self._folder, cells)
        if len(with_status(records, "done")):
            console.print(terminal_table(records))
