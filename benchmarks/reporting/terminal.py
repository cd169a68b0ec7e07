"""The result of a run in the terminal: accuracies, warnings by kind, and where the files are."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from benchmarks.cli import console
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import grouped, groups, with_status
from benchmarks.reporting.names import method_order, seeds_name, setting_name
from benchmarks.reporting.pages.accuracy import FIRST_OMEGA, accuracy_page
from benchmarks.reporting.pages.notes import kinds_of, warning_rows
from benchmarks.reporting.table import Page, short

LABEL_SHARE = 1 / 3
"""Labels wrap if they need more than this share of the width ..."""

LABEL_WIDTH = 14
"""... and more than this many characters."""

GAP = 2
"""Spaces between two columns: one of padding, and one that rich has between columns."""

EDGE = 1
"""rich counts the padding of the first column too, though it does not print it."""

LONGEST_TEXT = 300
"""Longer texts of warnings are cut."""


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Args:
        heading: its heading in the table.
        name: its name in the list of what was left out.
        texts: one per method.
        bold: the rows that are bold.
    """

    heading: str
    name: str
    texts: list[str]
    bold: frozenset[int] = frozenset()

    @property
    def width(self) -> int:
        """Characters, with the spaces between it and the column before."""
        return GAP + max(len(text) for text in [self.heading, *self.texts])


@dataclass(frozen=True)
class Layout:
    """The columns beside the labels, and the names of what was left out."""

    columns: list[Column]
    left_out: list[str]

    @property
    def width(self) -> int:
        """Characters of all columns."""
        return sum(column.width for column in self.columns)


class ResultTable:
    """Accuracy by omega, traffic and seconds of each method in one setting.

    No number and no label is ever cut. What does not fit the width is left out as a whole, in this
    order: seconds, MB, data-free, the standard deviations of all cells, then one omega after the
    other from the smallest. A line under the table names what was left out. Long labels wrap.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
        details: the file that has all columns, named under the table.
    """

    def __init__(self, records: pd.DataFrame, setting: tuple, details: str = "table.md"):
        self.records = records
        self.setting = setting
        self.details = details
        self.summary = comparison.summarise(records)
        self.page = accuracy_page(records, self.summary, setting, None)
        self.row_names = [row[0] for row in self.page.rows]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        where = setting_name(*self.setting)
        seeds = seeds_name(self.summary["n"])
        yield Text(f"accuracy on {where}, per cent, last round, {seeds}", "italic")

        width = options.max_width - EDGE
        layout = self._layout(width - self._label_width(width))

        # Labels get the space that is left, so that they wrap as little as possible.
        label_width = min(self._longest_label(), width - layout.width)
        yield self._table(layout, label_width)
        if layout.left_out:
            yield Text(f"left out at this width: {', '.join(layout.left_out)}: see {self.details}")
        yield Text()

    def _label_width(self, width: int) -> int:
        """Characters that the labels get at least; longer ones wrap."""
        return min(self._longest_label(), max(LABEL_WIDTH, int(LABEL_SHARE * width)), width)

    def _longest_label(self) -> int:
        return max(len(text) for text in ["method", *self.row_names])

    def _page_without_sd(self) -> Page:
        summary = self.summary.assign(accuracy_sd=math.nan)
        return accuracy_page(self.records, summary, self.setting, None)

    def _layout(self, width: int) -> Layout:
        """The first of the layouts that fits into the width, or the last one."""
        layouts = list(self._layouts())
        for layout in layouts:
            if layout.width <= width:
                return layout
        return layouts[-1]

    def _layouts(self) -> Iterator[Layout]:
        """The layouts from the widest to that without a column, in the order of the class."""
        data_free, *omegas = _accuracy_columns(self.page)
        megabytes, seconds = self._costs()
        yield Layout([data_free, *omegas, megabytes, seconds], [])

        yield Layout([data_free, *omegas, megabytes], ["seconds"])
        yield Layout([data_free, *omegas], ["seconds", "MB"])
        left_out = ["seconds", "MB", "data-free"]
        yield Layout(omegas, left_out)

        if any(sd >= 0 for sd in self.summary["accuracy_sd"]):
            left_out = [*left_out, "standard deviations"]
            _, *omegas = _accuracy_columns(self._page_without_sd())
            yield Layout(omegas, left_out)

        while omegas:
            left_out = [*left_out, omegas[0].name]
            omegas = omegas[1:]
            yield Layout(omegas, left_out)

    def _costs(self) -> list[Column]:
        """MB up and down, and seconds; means over seeds and omega."""
        megabytes = (self.summary["upload_bytes"] + self.summary["download_bytes"]) / 1e6
        summary = self.summary.assign(megabytes=megabytes)
        labels = method_order(self.records)
        columns = []
        for heading, name, column in (("MB", "MB", "megabytes"), ("s", "seconds", "total_s")):
            means = grouped(summary, "label", column, "mean").to_dict()
            columns.append(Column(heading, name, [short(means[label]) for label in labels]))
        return columns

    def _table(self, layout: Layout, label_width: int) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, GAP - 1), pad_edge=False, show_edge=False)
        table.add_column("method", width=label_width, overflow="fold")
        for column in layout.columns:
            table.add_column(
                column.heading, justify="right", no_wrap=True, min_width=column.width - GAP
            )

        for i, name in enumerate(self.row_names):
            row = [Text(name)]
            for column in layout.columns:
                row.append(Text(column.texts[i], "bold" if i in column.bold else ""))
            table.add_row(*row)
        return table


def _accuracy_columns(page: Page) -> list[Column]:
    """Whether each method is data-free, and its accuracy at each omega, from the smallest."""
    columns = []
    for j in range(FIRST_OMEGA - 1, len(page.header)):
        bold = frozenset(i for i, column in page.bold if column == j)
        texts = [row[j] for row in page.rows]
        columns.append(Column(page.header[j], page.header[j], texts, bold))
    return columns


def terminal_table(records: pd.DataFrame, details: str = "table.md") -> Group:
    """The results of all settings, for the end of a run; see :class:`ResultTable`.

    Args:
        records: rows per cell and scored round.
        details: the file that has all columns, named where some were left out.
    """
    tables = []
    for setting, here in groups(records, comparison.SETTING):
        tables.append(ResultTable(here, setting, details))
    return Group(*tables)


def warning_summary(records: pd.DataFrame) -> list[str]:
    """One line per kind of warning, e.g. "12 cells: the generators cover 80% of the classes".

    Warnings that differ only in numbers are of one kind, and the first of them is the example. The
    kind with the most cells comes first.
    """
    counted = []
    for column in ("warnings", "notes"):
        if column in records:
            counted += _by_kind(warning_rows(records, column), column)
    return _lines(counted)


def _reason_summary(records: pd.DataFrame, status: str) -> list[str]:
    """One line per kind of reason why cells failed or were skipped."""
    return _lines(_by_kind(with_status(records, status), "reason"))


def _by_kind(rows: pd.DataFrame, column: str) -> list[tuple[int, str]]:
    """The number of cells and an example of each kind of text in the column."""
    rows = rows.loc[rows[column].fillna("") != ""]
    rows = rows.assign(kind=kinds_of(rows.loc[:, column]))
    counted = []
    for _, alike in rows.groupby("kind", sort=False):
        n_cells = len(set(alike["cell"]))
        example = " ".join(str(alike[column].iloc[0]).split())[:LONGEST_TEXT]
        counted.append((n_cells, example))
    return counted


def _lines(counted: Iterable[tuple[int, str]]) -> list[str]:
    most_cells_first = sorted(counted, key=lambda kind: -kind[0])
    return [f"{_cells(n)}: {example}" for n, example in most_cells_first]


def _cells(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"


def print_result(records: pd.DataFrame, folder: Path, failed: int) -> None:
    """Print the results, the kinds of warnings, the failures, and where the files are.

    Args:
        records: rows per cell and scored round.
        folder: the suite's folder.
        failed: number of cells that failed in this run.
    """
    details = folder / "table.md"
    if len(with_status(records, "done")):
        console.print(terminal_table(records, str(details)), highlight=False)

    _print_lines("warnings", "yellow", warning_summary(records))
    _print_lines("does not apply", "dim", _reason_summary(records, "skipped"))
    _print_lines("failed", "red", _reason_summary(records, "failed"))
    if failed:
        console.print(
            f"[red]{_cells(failed)} failed[/]; their tracebacks are in "
            f"{escape(str(folder / 'cells'))}/*.failed.json",
            soft_wrap=True,
        )
    console.print(f"tables and figures: {escape(str(folder))}", highlight=False, soft_wrap=True)


def _print_lines(heading: str, colour: str, lines: list[str]) -> None:
    """Print a heading and the lines below it; nothing where there is no line."""
    if not lines:
        return
    console.print(f"[{colour}]{heading}[/] (which cells: table.md)", highlight=False)
    for line in lines:
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
