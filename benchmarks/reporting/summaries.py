"""Warnings, failures and skipped cells by their kind, a line each."""

from collections.abc import Iterable

import pandas as pd

from benchmarks.reporting.frames import with_status
from benchmarks.reporting.pages.notes import kinds_of, warning_rows
from benchmarks.texts import one_line, shortened

LONGEST_TEXT = 300
"""Characters of a text in its line."""


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


def reason_summary(records: pd.DataFrame, status: str) -> list[str]:
    """One line per kind of reason why cells failed or were skipped."""
    return _lines(_by_kind(with_status(records, status), "reason"))


def _by_kind(rows: pd.DataFrame, column: str) -> list[tuple[int, str]]:
    """The number of cells and an example of each kind of text in the column."""
    rows = rows.loc[rows[column].fillna("") != ""]
    rows = rows.assign(kind=kinds_of(rows.loc[:, column]))
    counted = []
    for _, alike in rows.groupby("kind", sort=False):
        n_cells = len(set(alike["cell"]))
        example = one_line(shortened(str(alike[column].iloc[0]), LONGEST_TEXT))
        counted.append((n_cells, example))
    return counted


def _lines(counted: Iterable[tuple[int, str]]) -> list[str]:
    most_cells_first = sorted(counted, key=lambda kind: -kind[0])
    return [f"{cells_text(n)}: {example}" for n, example in most_cells_first]


def cells_text(n: int) -> str:
    """A number of cells in words."""
    return "1 cell" if n == 1 else f"{n} cells"
