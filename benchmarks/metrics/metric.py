"""What is known of a measured column of a record, whatever it measures."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]
"""Which values of a metric the tuner looks for."""


@dataclass(frozen=True)
class Metric:
    """One measured column of a record.

    Args:
        column: its name in records.csv.
        unit: of its values in the record; "" for a number without one.
        better: "higher" or "lower"; "" where neither is better as such.
        meaning: one sentence for the list of columns.
        heading: its column in the table of costs; "" to leave it out.
        averaged: is its mean over seeds in summary.csv?
        tunable: can ``benchmarks.tune --objective`` name it?
        first: is it in every records.csv, before the columns that follow by name?
    """

    column: str
    unit: str
    better: str
    meaning: str
    heading: str = ""
    averaged: bool = True
    tunable: bool = False
    first: bool = True
