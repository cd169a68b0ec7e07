"""The notes under the tables."""

import math
from collections.abc import Iterator
from typing import Any, cast

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import of_label, values_of, with_status
from benchmarks.reporting.names import method_order, omega_names
from benchmarks.reporting.table import short
from benchmarks.running.checks import split_warnings
from benchmarks.texts import shortened

FACTS = [
    "scale",
    "device",
    "processor",
    "threads",
    "precision",
    "torch",
    "budget",
    "client_budget",
    "server_budget",
    "client_work",
    "server_work",
    "commit",
]
"""Columns that say how the numbers were made."""

MOST_VALUES = 4
"""Of a fact with more different values than this the note has their number."""

MOST_CHARACTERS = 300
"""Longer texts of reasons and warnings are cut."""

NUMBER = r"\d[\d.,e%+-]*"


def power_notes(records: pd.DataFrame, reference: str) -> list[str]:
    """What this many seeds can detect, or that one seed establishes nothing."""
    last = comparison.selected_rounds(records, "last")
    if len(set(last["seed"])) == 1:
        return [
            "n = 1 seed: no spread and no test, so no difference here is established; run more "
            "seeds."
        ]

    n, least, sd = comparison.power_of(records, reference)
    if not math.isfinite(least):
        return []
    return [
        f"Power: {n} seeds can only detect differences ≥ {short(100 * least)} points (paired "
        "t-test, 80 % power, α = .05 before correction; the median sd of the differences to "
        f"{reference} is {short(100 * sd)} points)."
    ]


def absent_reference(records: pd.DataFrame, reference: str) -> list[str]:
    """Say that the reference is not among the methods, or that it finished nowhere.

    The default one gives no note where it is not among the methods.
    """
    labels = set(records["label"])
    if reference in set(with_status(records, "done")["label"]):
        return []
    if reference in labels:
        return [f"No paired differences: the reference {reference} finished no cell here."]
    if reference == comparison.REFERENCE:
        return []
    return [
        f"No paired differences: the reference {reference} is not among the methods here, which "
        f"are {', '.join(method_order(records))}."
    ]


def trouble_notes(records: pd.DataFrame) -> list[str]:
    """What went wrong: failed, skipped, missing cells, warnings, methods that were not paired."""
    notes = []
    for status, heading in (("failed", "Failed"), ("skipped", "n/a"), ("missing", "Missing")):
        notes += row_notes(with_status(records, status), "reason", heading)

    for column in ("warnings", "notes"):
        if column in records:
            notes += row_notes(warning_rows(records, column), column, "Warning")

    if "partition" in records:
        names = omega_names(records)
        for omega, seed in comparison.unpaired_seeds(records):
            notes.append(
                "Warning: not paired: the methods ran on different partitions at "
                f"{names[omega]}, seed {seed}."
            )
    return notes


def warning_rows(records: pd.DataFrame, column: str) -> pd.DataFrame:
    """The records with one text per row in the column; a row with several texts is repeated.

    Args:
        records: rows per cell and scored round.
        column: "warnings", where records hold a list of texts, or older ones the texts joined by
            "; "; or "notes", which is one text and may contain "; " itself.
    """
    texts = [_texts(value, column) for value in records[column]]
    rows = records.assign(**{column: pd.Series(texts, index=records.index, dtype=object)})
    return rows.explode(column)


def _texts(value: Any, column: str) -> list[str]:
    if isinstance(value, list):
        return value or [""]
    if pd.isna(value):
        return [""]
    if column == "warnings":
        return split_warnings(str(value)) or [""]
    return [str(value)]


def row_notes(rows: pd.DataFrame, column: str, heading: str) -> Iterator[str]:
    """One note per kind of text in the column, with the methods, omegas and seeds that have it.

    Texts that differ only in numbers are of one kind; the first of them is the example.

    Args:
        rows: rows per cell and scored round.
        column: the column of texts; rows without one are left out.
        heading: the first word of each note.
    """
    rows = rows.loc[rows[column] != ""]
    names = omega_names(rows)
    for _, alike in rows.groupby(kinds_of(rows.loc[:, column]), sort=False):
        where = []
        for label in alike["label"].unique():
            part = of_label(alike, label)
            omegas = sorted(part["omega"].unique())
            seeds = ", ".join(str(seed) for seed in sorted(part["seed"].unique()))
            where.append(f"{label} at {_omega_list(omegas, names)}, seed {seeds}")

        example = shortened(str(alike[column].iloc[0]), MOST_CHARACTERS)
        if len(set(alike[column])) > 1:
            example = f"e.g. {example}"
        yield f"{heading}: {'; '.join(where)}: {example}"


def kinds_of(texts: pd.Series) -> pd.Series:
    """The texts with each number replaced by "#"."""
    return texts.astype(str).str.replace(NUMBER, "#", regex=True)


def _omega_list(omegas: list[float], names: dict[float, str]) -> str:
    """Several omegas in a sentence, e.g. "ω 0.1, 1"; the sign stands before the first only."""
    texts = [names[omegas[0]]]
    for omega in omegas[1:]:
        texts.append(names[omega].removeprefix("ω "))
    return ", ".join(texts)


def fact_notes(records: pd.DataFrame) -> list[str]:
    """How heterogeneous the partitions are, and how the numbers were made.

    Different values of a fact are listed with a bar between them.
    """
    notes = []
    names = omega_names(records)
    partitions = records.set_index("omega").filter(regex="^partition_")
    means = cast(pd.DataFrame, partitions.groupby("omega").mean())
    for omega, row in means.to_dict("index").items():
        texts = []
        for name, value in row.items():
            if math.isnan(value):
                continue
            words = name.removeprefix("partition_").replace("_", " ")
            texts.append(f"{words} {short(value)}")
        if texts:
            notes.append(f"Partitions at {names[omega]}, on average: {', '.join(texts)}.")

    facts = []
    for fact in FACTS:
        values = values_of(records, fact)
        words = fact.replace("_", " ")
        if len(values) > MOST_VALUES:
            facts.append(f"{words} of {len(values)} kinds (records.csv)")
        elif values:
            facts.append(f"{words} {' | '.join(_fact_text(value) for value in values)}")
    if facts:
        notes.append(f"Made with: {'; '.join(facts)}.")
    return notes


def _fact_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
