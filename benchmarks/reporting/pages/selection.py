"""The page of accuracies by how the reported round was selected."""

import pandas as pd

from benchmarks.reporting.names import omega_values, seeds_name, setting_name
from benchmarks.reporting.pages.differences import page_by_omega
from benchmarks.reporting.table import Page, mean_sd

WAYS = {
    "last": "accuracy",
    "validation-selected": "accuracy_validation_selected",
    "oracle": "accuracy_oracle",
}
"""Heading: the column of the summary."""


def selection_page(records: pd.DataFrame, summary: pd.DataFrame, setting: tuple) -> Page:
    """Accuracy in the last, the validation-selected and the best round of one setting.

    Args:
        records: the setting's rows per cell and scored round.
        summary: what ``comparison.summarise`` makes of them.
        setting: data set, number of clients and widths.
    """
    cells = []
    for row in summary.to_dict("records"):
        cells.append([mean_sd(row[column], row[f"{column}_sd"]) for column in WAYS.values()])

    note = (
        f"Test accuracy, {seeds_name(summary['n'])}. Last: the last round (the headline). "
        "Validation-selected: the round with the best accuracy on held-out training data. Oracle: "
        "the round with the best test accuracy; it has seen the answers and is no result, only a "
        "bound."
    )
    caption = f"Which round is reported, on {setting_name(*setting)} (per cent)"
    return page_by_omega(caption, summary, list(WAYS), cells, [note], omega_values(records))
