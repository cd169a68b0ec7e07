"""The notes under the tables."""

import math
from collections.abc import Iterator

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.table import short

FACTS = [
    "scale",
    "device",
    "processor",
    "threads",
    "precision",
    "torch",
    "client_work",
    "server_work",
    "commit",
]


def power_notes(records: pd.DataFrame, reference: str) -> Iterator[str]:
    n, least, sd = st.power_of(records, reference)
    if st.selected_rounds(records, "last")["seed"].nunique() == 1:
        yield "n = 1 seed: no spread and no test, so no difference here is established; run more seeds."
    elif math.isfinite(least):
        yield (
            f"Power: {n} seeds can only detect differences ≥ {short(100 * least)} points (paired t-test, 80 % power, "
            f"α = .05 before correction; the median sd of the differences to {reference} is {short(100 * sd)} points)."
        )


def trouble_notes(records: pd.DataFrame) -> Iterator[str]:
    """Why cells failed or do not apply, what the records warn of, and whether the methods were paired at all."""
    for status, label in (("failed", "Failed"), ("skipped", "n/a")):
        yield from row_notes(records[records["status"] == status], "reason", label)
    for column in records.columns.intersection(["warnings", "notes"]):
        parts = records[column].astype(object).fillna("").astype(str).str.split("; ")
        yield from row_notes(records.assign(**{column: parts}).explode(column), column, "Warning")
    for omega, seed in st.unpaired_seeds(records) if "partition" in records else ():
        yield f"Warning: not paired: the methods ran on different partitions at ω {omega:g}, seed {seed}."


def row_notes(rows: pd.DataFrame, column: str, label: str) -> Iterator[str]:
    """One note a text of the column, with where it holds; of texts that differ in numbers only the first is told."""
    rows = rows[rows[column] != ""]
    alike = rows[column].astype(str).str.replace(r"\d[\d.,e%+-]*", "#", regex=True)
    for _, those in rows.groupby(alike, sort=False):
        where = [
            f"{method} at ω {', '.join(f'{o:g}' for o in sorted(part['omega'].unique()))}, "
            f"seed {', '.join(map(str, sorted(part['seed'].unique())))}"
            for method, part in those.groupby("method", sort=False)
        ]
        example = (
            "e.g. " * (those[column].nunique() > 1)
            + " ".join(str(those[column].iloc[0]).split())[:300]
        )
        yield f"{label}: {'; '.join(where)}: {example}"


def fact_notes(records: pd.DataFrame) -> Iterator[str]:
    """How heterogeneous the partitions came out, and how the numbers were made; mixed values stand side by side."""
    realised = (
        records.set_index("omega")
        .filter(regex="^partition_")
        .groupby("omega")
        .mean()
        .dropna(axis=1)
    )
    for omega, row in realised.iterrows():
        texts = [
            f"{name.removeprefix('partition_').replace('_', ' ')} {short(value)}"
            for name, value in row.items()
        ]
        yield from [f"Partitions at ω {omega:g}, on average: {', '.join(texts)}."] * bool(texts)
    values = {fact: records[fact].dropna().unique() for fact in FACTS if fact in records}
    texts = {
        fact: [f"{v:g}" if isinstance(v, float) else str(v) for v in mixed]
        for fact, mixed in values.items()
    }
    facts = [
        f"{fact.replace('_', ' ')} {' | '.join(mixed)}"
        for fact, mixed in texts.items()
        if 0 < len(mixed) <= 4
    ]
    yield from [f"Made with: {'; '.join(facts)}."] * bool(facts)
