"""A recorded cell beside the same cell run again: which numbers differ, and why they may."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.running.record_file import Row

TIMES = ("method_s", "stage_s", "pass_s", "cpu_s", "peak_memory_bytes")
"""Columns that are of the machine and its load, not of the method."""

TIMES_FROM = "stage_s_"

TEXTS = ("class_accuracy", "selection")
"""Columns with texts that a cell's run measures."""

ACCURACY = "accuracy"

SAME_MACHINE = ("device", "processor", "kernels", "torch", "torchvision", "numpy")
"""Where records agree in these, and in the threads that their key names, a run repeats to the bit.
"""

REASONS = {"version": "version of this package", "commit": "commit", "python": "Python"}
"""Further columns that may tell why numbers differ."""


@dataclass(frozen=True)
class Difference:
    """A value that is another one now.

    Attributes:
        round: the scored round that it is of.
        column: its column.
        recorded: the value in the record.
        now: the value of the run now.
    """

    round: Any
    column: str
    recorded: Any
    now: Any

    @property
    def points(self) -> float:
        """An accuracy's difference in percentage points; nan for another column."""
        if not self.column.startswith(ACCURACY):
            return math.nan
        return 100 * abs(_finite(self.recorded) - _finite(self.now))

    def __str__(self) -> str:
        return f"round {self.round}: {self.column} is {self.recorded!r} recorded, {self.now!r} now"


def _finite(value: Any) -> float:
    return math.inf if value is None else float(value)


@dataclass(frozen=True)
class Comparison:
    """All of a record that was compared.

    Attributes:
        n_equal: values that are equal to the last bit.
        differences: the other ones.
        one_sided: columns that only one of the two has, such as diagnostics of another version.
    """

    n_equal: int
    differences: list[Difference]
    one_sided: list[str]

    @property
    def points(self) -> float:
        """The largest difference of an accuracy, in percentage points."""
        return max((d.points for d in self.differences if not math.isnan(d.points)), default=0.0)


def compare(recorded: Sequence[Row], now: Sequence[Row]) -> Comparison:
    """Compare all numbers of a record but times and memory.

    Args:
        recorded: the rows of the record, one per scored round.
        now: the same of the run now.
    """
    n_equal = 0
    differences = []
    one_sided: dict[str, None] = {}
    rows_now = {row.get("round"): row for row in now}
    rows_then = {row.get("round"): row for row in recorded}
    for t in dict.fromkeys([*rows_then, *rows_now]):
        if t not in rows_then or t not in rows_now:
            differences.append(Difference(t, "round", _if_in(t, rows_then), _if_in(t, rows_now)))
            continue
        then, again = rows_then[t], rows_now[t]
        for column in dict.fromkeys([*then, *again]):
            if not is_measured(column, then.get(column), again.get(column)):
                continue
            if column not in then or column not in again:
                one_sided[column] = None
            elif then[column] == again[column]:
                n_equal += 1
            else:
                differences.append(Difference(t, column, then[column], again[column]))
    return Comparison(n_equal, differences, list(one_sided))


def _if_in(t: Any, rows: dict[Any, Row]) -> Any:
    return t if t in rows else None


def is_measured(column: str, *values: Any) -> bool:
    """Whether a column's values are numbers, or texts of numbers, that a run gives again."""
    if column in TIMES or column.startswith(TIMES_FROM):
        return False
    if column in TEXTS:
        return True
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def differing_machine(recorded: Row, now: Row) -> list[str]:
    """What differs between the machines and libraries of two runs, so that sums may too."""
    return [_both(name, recorded, now) for name in SAME_MACHINE if _differs(name, recorded, now)]


def reasons(recorded: Row, now: Row) -> list[str]:
    """All that two records say of their runs that may be the reason of other numbers."""
    others = [_both(name, recorded, now) for name in REASONS if _differs(name, recorded, now)]
    return differing_machine(recorded, now) + others


def _differs(name: str, recorded: Row, now: Row) -> bool:
    return (recorded.get(name) or "") != (now.get(name) or "")


def _both(name: str, recorded: Row, now: Row) -> str:
    then = recorded.get(name) or "not stated"
    return f"{REASONS.get(name, name)} {then} then, {now.get(name) or 'not stated'} now"
