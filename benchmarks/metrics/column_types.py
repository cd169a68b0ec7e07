"""The type and the unit of a record's column, by its name: the same in the files of all suites."""

from typing import Literal

from benchmarks.metrics.columns import METRICS, meaning_of
from benchmarks.metrics.other_columns import AFTER_METRICS, BEFORE_METRICS, OTHER_COLUMNS, PREFIXES

Kind = Literal["integer", "number", "truth", "text"]

INTEGERS = ("n_clients", "seed", "round", "threads", "tuned_trials", "fidelity_n")
"""Whole numbers; so are bytes."""

NUMBERS = (
    "omega",
    "client_budget",
    "server_budget",
    "client_work",
    "server_work",
    "client_spent",
    "server_spent",
    "client_share",
    "server_share",
)
"""Columns of numbers that are no metrics."""

BY_METHOD = ("task.", "config.")
"""Columns that are fields of a dataclass, which has their types."""


def kind_of(column: str) -> Kind | None:
    """The type of a column's values; None for a field of a dataclass and an unknown column."""
    if column in INTEGERS or column == "fidelity_n_asked" or unit_of(column) == "byte":
        return "integer"
    if column in NUMBERS or column in METRICS:
        return "number"
    if column == "data_free":
        return "truth"
    if meaning_of(column) is None or column.startswith(BY_METHOD):
        return None
    if column in described_columns():
        return "text"
    return "number"  # all other prefixes are of measured numbers


def unit_of(column: str) -> str:
    """The unit of a column's values; "" for a number without one, and for all other values."""
    if column in METRICS:
        return METRICS[column].unit
    for prefix in PREFIXES:
        whole = prefix.removesuffix("_")  # upload_bytes_model is a part of upload_bytes
        if column.startswith(prefix) and whole in METRICS:
            return METRICS[whole].unit
    return ""


def described_columns() -> list[str]:
    """The columns of a record that do not depend on its method, in the order of the docs."""
    in_records = [column for column in METRICS if column != "total_s"]
    return [*BEFORE_METRICS, *in_records, *AFTER_METRICS, *OTHER_COLUMNS]
