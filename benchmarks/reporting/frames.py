"""Small typed helpers for data frames.

pandas' own types make ``frame[mask]`` a frame or a column and ``groupby(...)[name].mean()`` a
number, a column or a frame. These helpers say which of them it is.
"""

import math
import numbers
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pandas as pd

from benchmarks.metrics.column_types import described_columns, kind_of
from mosaic.fl.errors import InputError

INFINITIES = {"inf", "-inf"}

TEXTS = [name for name in described_columns() if kind_of(name) == "text"]
TEXTS += ["task.partition"]
"""The columns of texts, which may look like numbers: widths "0.5", a hash "12e4567890123456"."""


def read_csv(path: Path) -> pd.DataFrame:
    """The records of a suite's records.csv.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        # A label may also be "NA", which is not missing.
        return pd.read_csv(
            path,
            low_memory=False,
            dtype=dict.fromkeys(TEXTS, str),
            keep_default_na=False,
            na_values=[""],
        )
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; give a suite's records.csv.") from None


def groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """The rows of each combination of values of the columns ``by``, sorted by these values."""
    for values, rows in frame.groupby(by):
        yield cast(tuple, values), rows


def grouped(frame: pd.DataFrame, by: str | list[str], column: str, statistic: str) -> pd.Series:
    """A statistic of one column per group: "mean", "std" (ddof 1), "count", "nunique" ..."""
    return cast(pd.Series, frame.groupby(by)[column].agg(statistic))


def with_status(records: pd.DataFrame, status: str) -> pd.DataFrame:
    """The rows with this status: "done", "failed" or "skipped"."""
    return records.loc[records["status"] == status]


def of_label(records: pd.DataFrame, label: str) -> pd.DataFrame:
    """The rows of one method of the comparison."""
    return records.loc[records["label"] == label]


def has_values(frame: pd.DataFrame, column: str) -> bool:
    """False if the column is absent or has only missing values."""
    return column in frame and bool(frame.loc[:, column].notna().any())


def mean_of(frame: pd.DataFrame, column: str) -> float:
    """The mean of a column of numbers; NaN where there is none."""
    if column not in frame:
        return math.nan
    return float(_numbers(frame, column).mean())


def sd_of(frame: pd.DataFrame, column: str) -> float:
    """The sample standard deviation (ddof 1) of a column of numbers; NaN for less than two."""
    if column not in frame:
        return math.nan
    return cast(float, _numbers(frame, column).std(ddof=1))


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    return cast(pd.Series, frame.loc[:, column]).astype(float)


def values_of(frame: pd.DataFrame, column: str) -> list[Any]:
    """The different values of a column as they first appear, without missing ones."""
    if column not in frame:
        return []
    return list(frame.loc[:, column].dropna().unique())


def with_infinities(records: pd.DataFrame) -> pd.DataFrame:
    """The records with the texts "inf" and "-inf" as numbers.

    JSON has no infinity, so records hold it as text. A column is changed if these and numbers are
    all that is in it; columns of other texts, or of lists, stay as they are.
    """
    changed = {}
    for name in records.columns:
        values = records.loc[:, name]
        if pd.api.types.is_numeric_dtype(values):
            continue

        texts = [value for value in values if isinstance(value, str)]
        others = [value for value in values if not isinstance(value, str) and value is not None]
        if texts and set(texts) <= INFINITIES and all(map(_is_number, others)):
            changed[name] = values.astype(float)

    if not changed:
        return records
    return records.assign(**changed)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
