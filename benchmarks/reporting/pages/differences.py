"""The page of paired differences, and the layout of all pages with a row per omega and method."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from benchmarks.reporting.frames import has_values, of_label
from benchmarks.reporting.names import method_order, omega_values, setting_name
from benchmarks.reporting.significance import MIN_PAIRS_EXACT
from benchmarks.reporting.table import Page, p_value, rules_between, short, signed


def difference_page(
    records: pd.DataFrame, differences: pd.DataFrame, setting: tuple, reference: str
) -> Page:
    """The differences to the reference in one setting, a row per omega and method.

    Args:
        records: the setting's rows per cell and scored round.
        differences: what ``comparison.paired_differences`` makes of them.
        setting: data set, number of clients and widths.
        reference: label of the method that was subtracted.
    """
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "points": ("difference", _points),
        "sd": ("sd", _width),
        "± 95% CI": ("ci", _width),
        "d": ("effect", short),
        "n": ("n", str),
        "p": ("p", p_value),
    }
    if has_values(differences, "p_signs"):
        columns["p signs"] = ("p_signs", p_value)
        columns["p Wilcoxon"] = ("p_wilcoxon", p_value)
    columns["p Holm"] = ("p_holm", p_value)
    columns["P(> 1)"] = ("p_better", p_value)

    cells = []
    for row in differences.to_dict("records"):
        cells.append([write(row[column]) for column, write in columns.values()])

    note = (
        f"Method minus {reference}, paired by seed, last round: positive means better than "
        f"{reference}. d: difference over sd. p: two-sided paired t-test; p signs and p Wilcoxon, "
        f"with {MIN_PAIRS_EXACT} pairs or more: exact, without a normal distribution. p Holm: p "
        f"corrected for the {differences['holm_over'].iloc[0]} comparisons with competitors in all "
        f"settings, floor and ceiling not counted. P(> 1): the probability that the method is "
        "better by more than a point (Bayesian t-test). – where there is no test: fewer than 2 "
        "pairs, or every pair differs by the same amount."
    )
    caption = f"Paired differences to {reference} on {setting_name(*setting)} (percentage points)"
    omegas = omega_values(records)
    return page_by_omega(caption, differences, list(columns), cells, [note], omegas)


def _points(fraction: float) -> str:
    return signed(100 * fraction)


def _width(fraction: float) -> str:
    return short(100 * fraction)


def lines_by_omega(last: pd.DataFrame) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The lines of a page with a row per omega and label, and the records of each line.

    Args:
        last: records of one round per cell.

    Returns:
        A table with the columns omega, label and n, the number of seeds; and the rows of each.
    """
    table = []
    rows_of_lines = []
    for omega in sorted(last["omega"].unique()):
        at_omega = last.loc[last["omega"] == omega]
        for label in method_order(at_omega):
            rows = of_label(at_omega, label)
            table.append({"omega": omega, "label": label, "n": rows["seed"].nunique()})
            rows_of_lines.append(rows)
    return pd.DataFrame(table, columns=["omega", "label", "n"]), rows_of_lines


def page_by_omega(
    caption: str,
    table: pd.DataFrame,
    header: list[str],
    cells: list[list[str]],
    notes: list[str],
    omegas: dict[float, str],
) -> Page:
    """A page with a row per omega and method, and a line where omega changes.

    Args:
        caption: the title.
        table: its columns ``omega`` and ``label`` name the rows.
        header: headings of the columns after omega and method.
        cells: texts of these columns, row by row.
        notes: sentences under the table.
        omegas: the text of each omega.
    """
    values = [omegas[omega] for omega in table["omega"]]
    rows = []
    for omega, label, texts in zip(values, table["label"], cells, strict=True):
        rows.append([omega, label, *texts])
    return Page(
        caption=caption,
        header=["ω", "method", *header],
        rows=rows,
        notes=notes,
        rules=rules_between(values),
        n_names=2,
    )
