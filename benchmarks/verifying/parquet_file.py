"""Whether records.parquet has what the records give."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.verifying.texts import TextDifference

Rows = dict[tuple[str, Any], tuple[int, dict[str, Any]]]
"""Each row's number and its values, by cell and round."""


def parquet_differences(
    here: bytes, again: list[Callable[[], bytes]]
) -> list[TextDifference] | list[str]:
    """How a file differs from what the records give, wherever its rows and columns stand.

    Args:
        here: the file.
        again: make what the records give, in each way that it may have been written; the one that
            the file agrees with best is compared.

    Returns:
        The differences; a line's number is that of the row, from 1.
    """
    try:
        rows = _rows(here)
    except (pa.ArrowException, OSError, ValueError) as error:
        return [f"cannot be read: {' '.join(str(error).split())}"]
    best: list[TextDifference] = []
    for i, make in enumerate(again):
        found = _compared(rows, _rows(make()))
        if i == 0 or len(found) < len(best):
            best = found
        if not best:
            break
    return best


def _rows(data: bytes) -> Rows:
    """The rows of a file, without missing values."""
    found = {}
    for line, row in enumerate(pq.read_table(io.BytesIO(data)).to_pylist(), start=1):
        known = {name: value for name, value in row.items() if value is not None}
        found[str(row.get("cell")), row.get("round")] = line, known
    return found


def _compared(here: Rows, again: Rows) -> list[TextDifference]:
    found = []
    for key, (line, row) in here.items():
        if key not in again:
            found.append(TextDifference(line, "", _name(key), None))
            continue
        _, row_again = again[key]
        for column in dict.fromkeys([*row, *row_again]):
            old, new = row.get(column), row_again.get(column)
            if old != new:
                found.append(TextDifference(line, column, _text(old), _text(new)))
    for key in again:
        if key not in here:
            found.append(TextDifference(len(here) + 1, "", None, _name(key)))
    return found


def _name(key: tuple[str, Any]) -> str:
    cell, number = key
    return f"cell {cell}, round {number}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
