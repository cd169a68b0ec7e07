"""The page of accuracies: methods x omega."""

from typing import Any

import pandas as pd

from benchmarks.planning.methods import CEILING, FLOOR
from benchmarks.reporting.frames import of_label
from benchmarks.reporting.names import method_order, omega_names, seeds_name, setting_name
from benchmarks.reporting.pages.budget import data_free
from benchmarks.reporting.pages.notes import (
    absent_reference,
    fact_notes,
    power_notes,
    trouble_notes,
)
from benchmarks.reporting.table import NOTHING, Page, mean_sd

FIRST_OMEGA = 2
"""The column of the first omega; before it are the method and whether it is data-free."""


def accuracy_page(
    records: pd.DataFrame,
    summary: pd.DataFrame,
    verdicts: pd.DataFrame,
    setting: tuple,
    reference: str | None,
) -> Page:
    """The accuracies of one setting, a row per method and a column per omega.

    Args:
        records: the setting's rows per cell and scored round.
        summary: what ``comparison.summarise`` makes of them.
        verdicts: what ``comparison.best_methods`` makes of the suite's rows, those of this setting.
        setting: data set, number of clients and widths.
        reference: label of the method that the note on power is about; None leaves it out.
    """
    omegas = sorted(summary["omega"].unique())
    labels = method_order(records)
    cells = {(row["label"], row["omega"]): row for row in summary.to_dict("records")}
    verdicts = verdicts.set_index(["label", "omega"])
    worse = set(verdicts.loc[verdicts["worse"].astype(bool)].index)
    surely_best = set(verdicts.loc[verdicts["bold"].astype(bool)].index)

    rows = []
    bold = set()
    for i, label in enumerate(labels):
        row = [_row_name(label), data_free(of_label(records, label))]
        for j, omega in enumerate(omegas, start=FIRST_OMEGA):
            row.append(accuracy_text(cells.get((label, omega)), (label, omega) in worse))
            if (label, omega) in surely_best:
                bold.add((i, j))
        rows.append(row)

    # Lines set the floor and the ceiling apart from the competitors.
    rules = set()
    if labels[0] == FLOOR:
        rules.add(1)
    if labels[-1] == CEILING:
        rules.add(len(rows) - 1)

    seeds = seeds_name(summary["n"])
    several_seeds = bool((summary["n"] > 1).any())
    what = f"per cent, mean ± sd, {seeds}" if several_seeds else f"per cent, {seeds}"

    notes = _reading_notes(labels, seeds, several_seeds)
    if reference is not None:
        notes += absent_reference(records, reference)
        notes += power_notes(records, reference)
    notes += trouble_notes(records)
    notes += fact_notes(records)

    names = omega_names(records)
    return Page(
        caption=f"Accuracy on {setting_name(*setting)} ({what})",
        header=["method", "data-free", *(names[omega] for omega in omegas)],
        rows=rows,
        notes=notes,
        bold=frozenset(bold),
        rules=frozenset(rules),
        n_names=FIRST_OMEGA,
    )


def _row_name(label: str) -> str:
    if label == FLOOR:
        return f"{label} (floor)"
    if label == CEILING:
        return f"{label} (ceiling)"
    return label


def _reading_notes(labels: list[str], seeds: str, several_seeds: bool) -> list[str]:
    """How to read the table: what its numbers and marks are."""
    notes = [f"Accuracies on the full test set; last round; {seeds}."]
    if several_seeds:
        notes.append(
            "± is the sample standard deviation over seeds (ddof 1). Bold: the best mean, where "
            "its paired difference to every other competitor (data-free, with one model as its "
            "result) is significant (paired t-test, Holm "
            "over these differences in all tables, α = .05). †: significantly worse than the best "
            "mean."
        )
    if FLOOR in labels or CEILING in labels:
        notes.append(
            f"{FLOOR} (no collaboration) and {CEILING} (all data pooled) frame the others; "
            "not ranked."
        )
    return notes


def accuracy_text(row: dict[str, Any] | None, worse: bool) -> str:
    """The text of one method and omega.

    Args:
        row: its row of the summary; None where the suite has no such cell.
        worse: whether it is significantly worse than the best method.
    """
    if row is None:
        return NOTHING

    n_cells = row["n"] + row["n_failed"] + row["n_skipped"] + row["n_missing"]
    without = []
    for status in ("failed", "missing"):
        if row[f"n_{status}"]:
            without.append(f"{status} ({row[f'n_{status}']} of {n_cells})")
    if row["n"] == 0:
        return "; ".join(without) or "n/a"

    text = mean_sd(row["accuracy"], row["accuracy_sd"])
    if worse:
        text += " †"
    return "; ".join([text, *without])
