"""The page of accuracies by how the round was selected."""

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.differences import page_by_omega
from benchmarks.reporting.table import Page, mean_sd


def selection_page(summary: pd.DataFrame, setting: tuple) -> Page:
    ways = {
        "last": "accuracy",
        "validation-selected": "accuracy_validation_selected",
        "oracle": "accuracy_oracle",
    }
    cells = [
        [mean_sd(row[way], row[f"{way}_sd"]) for way in ways.values()]
        for row in summary.to_dict("records")
    ]
    note = (
        f"Test accuracy, {st.seeds_name(summary['n'])}. Last: the last round (the headline). Validation-selected: the "
        "round with the best accuracy on held-out training data. Oracle: the round with the best test accuracy; it "
        "has seen the answers and is no result, only a bound."
    )
    caption = f"Which round is reported, on {st.setting_name(*setting)} (per cent)"
    return page_by_omega(caption, summary, list(ways), cells, [note])
