"""The result of a run in the terminal: accuracies, warnings by kind, and where the files are."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from benchmarks.cli import console
from benchmarks.metrics.metric_file import own_columns
from benchmarks.output import in_encoding
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import grouped, groups, has_values, with_status
from benchmarks.reporting.names import method_order, seeds_name, setting_name
from benchmarks.reporting.pages.accuracy import FIRST_OMEGA, accuracy_page
from benchmarks.reporting.parts import TRACEBACKS, Failures, failure_lines, part
from benchmarks.reporting.summaries import cells_text, reason_summary, warning_summary
from benchmarks.reporting.table import Page, short
from benchmarks.texts import one_line

ASCII_HEAD = Box("    \n    \n -- \n" + 5 * "    \n", ascii=True)
"""The lines of SIMPLE_HEAD for outputs without its characters; rich's own has bars too."""

LABEL_SHARE = 1 / 3
"""Labels wrap if they need more than this share of the width ..."""

LABEL_WIDTH = 14
"""... and more than this many characters."""

GAP = 2
"""Spaces between two columns: one of padding, and one that rich has between columns."""

EDGE = 1
"""rich counts the padding of the first column too, though it does not print it."""


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
        return GAP + max(cell_len(text) for text in [self.heading, *self.texts])

    def in_encoding(self, encoding: str) -> "Column":
        """The column as an output in this encoding shows it."""
        heading, name, *texts = [
            in_encoding(one_line(text), encoding) for text in [self.heading, self.name, *self.texts]
        ]
        return replace(self, heading=heading, name=name, texts=texts)


@dataclass(frozen=True)
class Layout:
    """The columns beside the labels, and the names of what was left out."""

    columns: list[Column]
    left_out: list[str]

    @property
    def width(self) -> int:
        """Characters of all columns."""
        return sum(column.width for column in self.columns)

    def in_encoding(self, encoding: str) -> "Layout":
        """The layout as an output in this encoding shows it."""
        columns = [column.in_encoding(encoding) for column in self.columns]
        return Layout(columns, [in_encoding(name, encoding) for name in self.left_out])


class ResultTable:
    """Accuracy by omega, users' metrics, traffic and seconds of each method in one setting.

    No number and no label is ever cut. What does not fit the width is left out as a whole, in this
    order: seconds, MB, data-free, users' metrics from the last, the standard deviations of all
    cells, then one omega after the other from the smallest. A line under the table names what was
    left out, in this order. Long labels wrap. Signs that the output's encoding lacks are replaced.

    Args:
        records: the setting's rows per cell and scored round.
        verdicts: what ``comparison.best_methods`` makes of the suite's rows, those of this setting.
        setting: data set, number of clients and widths.
        details: the file that has all columns, named under the table.
    """

    def __init__(
        self,
        records: pd.DataFrame,
        verdicts: pd.DataFrame,
        setting: tuple,
        details: str = "table.md",
    ):
        self.records = records
        self.verdicts = verdicts
        self.setting = setting
        self.details = details
        self.summary = comparison.summarise(records)
        self.page = accuracy_page(records, self.summary, verdicts, setting, None)
        self.row_names = [row[0] for row in self.page.rows]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        encoding = options.encoding
        where = one_line(setting_name(*self.setting))
        seeds = seeds_name(self.summary["n"])
        title = f"accuracy on {where}, per cent, last round, {seeds}"
        yield Text(in_encoding(title, encoding), "italic")

        labels = [in_encoding(one_line(name), encoding) for name in self.row_names]
        longest = max(cell_len(text) for text in ["method", *labels])
        width = options.max_width - EDGE
        at_least = min(longest, max(LABEL_WIDTH, int(LABEL_SHARE * width)), width)
        layout = self._layout(width - at_least, encoding)

        # Labels get the space that is left, so that they wrap as little as possible.
        label_width = max(2, min(longest, width - layout.width))
        table = self._table(layout, labels, label_width)
        table.box = ASCII_HEAD if options.ascii_only else SIMPLE_HEAD
        yield table
        if layout.left_out:
            yield Text(f"left out at this width: {', '.join(layout.left_out)}: see {self.details}")
        yield Text()

    def _page_without_sd(self) -> Page:
        summary = self.summary.assign(accuracy_sd=math.nan)
        return accuracy_page(self.records, summary, self.verdicts, self.setting, None)

    def _layout(self, width: int, encoding: str) -> Layout:
        """The first of the layouts that fits into the width, or the last one."""
        layouts = [layout.in_encoding(encoding) for layout in self._layouts()]
        for layout in layouts:
            if layout.width <= width:
                return layout
        return layouts[-1]

    def _layouts(self) -> Iterator[Layout]:
        """The layouts from the widest to that without a column, in the order of the class."""
        data_free, *omegas = _accuracy_columns(self.page)
        *own, megabytes, seconds = self._means()
        columns = [data_free, *omegas, *own, megabytes, seconds]
        yield Layout(columns, [])

        left_out: list[str] = []
        for column in [seconds, megabytes, data_free, *reversed(own)]:
            columns = [other for other in columns if other is not column]
            left_out = [*left_out, column.name]
            yield Layout(columns, left_out)

        if any(sd >= 0 for sd in self.summary["accuracy_sd"]):
            left_out = [*left_out, "standard deviations"]
            _, *omegas = _accuracy_columns(self._page_without_sd())
            yield Layout(omegas, left_out)

        while omegas:
            left_out = [*left_out, omegas[0].name]
            omegas = omegas[1:]
            yield Layout(omegas, left_out)

    def _means(self) -> list[Column]:
        """Users' metrics, MB up and down, and seconds; means over seeds and omega."""
        megabytes = (self.summary["upload_bytes"] + self.summary["download_bytes"]) / 1e6
        summary = self.summary.assign(megabytes=megabytes)
        shown = []
        for heading, column in own_columns().items():
            if has_values(summary, column):
                shown.append((heading, heading, column))
        shown += [("MB", "MB", "megabytes"), ("s", "seconds", "total_s")]

        labels = method_order(self.records)
        columns = []
        for heading, name, column in shown:
            means = grouped(summary, "label", column, "mean").to_dict()
            columns.append(Column(heading, name, [short(means[label]) for label in labels]))
        return columns

    def _table(self, layout: Layout, labels: list[str], label_width: int) -> Table:
        table = Table(padding=(0, 0, 0, GAP - 1), pad_edge=False, show_edge=False)
        table.add_column("method", width=label_width, overflow="fold")
        for column in layout.columns:
            table.add_column(
                Text(column.heading), justify="right", no_wrap=True, min_width=column.width - GAP
            )

        for i, label in enumerate(labels):
            row = [Text(label)]
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
    verdicts = comparison.best_methods(records)
    for setting, here in groups(records, comparison.SETTING):
        of_setting = comparison.of_setting(verdicts, setting)
        tables.append(ResultTable(here, of_setting, setting, details))
    return Group(*tables)


def print_result(
    records: pd.DataFrame, folder: Path, failed: int, failures: Failures | None = None
) -> None:
    """Print the results, the kinds of warnings, the failures, and where the files are.

    Args:
        records: rows per cell and scored round.
        folder: the suite's folder.
        failed: number of cells that failed in this run.
        failures: the parts of the report that could not be made; a table that cannot be printed is
            added. None: its error is raised.
    """
    details = folder / "table.md"
    if len(with_status(records, "done")):
        with part("the table here", failures):
            console.print(terminal_table(records, str(details)), highlight=False)

    with part("the warnings and reasons here", failures):
        _print_lines("warnings", "yellow", warning_summary(records))
        _print_lines("does not apply", "dim", reason_summary(records, "skipped"))
        _print_lines("failed", "red", reason_summary(records, "failed"))
    if failed:
        console.print(
            f"[red]{cells_text(failed)} failed[/]; their tracebacks are in "
            f"{escape(str(folder / 'cells'))}/*.failed.json",
            soft_wrap=True,
        )
    if failures:
        for line in failure_lines(failures):
            text = f"[red]missing in the report[/] {escape(line)}"
            console.print(text, highlight=False, soft_wrap=True)
        text = f"the tracebacks are in {folder / TRACEBACKS}"
        console.print(escape(text), highlight=False, soft_wrap=True)
    console.print(f"tables and figures: {escape(str(folder))}", highlight=False, soft_wrap=True)


def _print_lines(heading: str, colour: str, lines: list[str]) -> None:
    """Print a heading and the lines below it; nothing where there is no line."""
    if not lines:
        return
    console.print(f"[{colour}]{heading}[/] (which cells: table.md)", highlight=False)
    for line in lines:
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
