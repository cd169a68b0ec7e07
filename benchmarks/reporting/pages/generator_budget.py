"""What more training of the clients' generators gives: accuracy, images and costs by their budget.

A row per method and point of its grid (``generator_share``: 1.5 to 100 % of the paper's steps).
Costs are those of the whole method up to that point; points of one chain share their work.
"""

import math
from typing import Any

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import has_values, mean_of, sd_of
from benchmarks.reporting.names import omega_values, seeds_name, setting_name
from benchmarks.reporting.pages.differences import lines_by_omega, page_by_omega
from benchmarks.reporting.table import NOTHING, Page, mean_sd, short

NAME = "generator_budget"
"""The page's name in a suite's ``pages``."""

IMAGES = {
    "FID": "fid_domain",
    "(floor)": "fid_domain_floor",
    "IS": "is_domain",
    "KID": "kid_domain",
    "duplicates": "duplicate_ratio",
    "classes": "classes_covered",
    "worst client": "worst_client_coverage",
}
"""The columns of generated images, by their headings."""

HEADER = ["steps", "TFLOP", "seconds", "accuracy", "teacher", *IMAGES, "collapsed clients"]

NOTE = (
    "Last round. Steps: of a client's generator. TFLOP and seconds: of the whole method, with the "
    "rounds that it starts from. FID, IS and KID over the features of a classifier of real images; "
    "floor: real images against real ones. Duplicates: share of images with a near-duplicate. "
    "Classes: share of all classes that the images cover. Worst client: the least coverage of a "
    "client's own classes by its own generator. Collapsed clients, by seed: a coverage below 0.9, "
    "or half of the images outside the client's classes."
)


def generator_budget_page(records: pd.DataFrame, setting: tuple) -> Page:
    """A row per omega and label.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
    """
    last = comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    lines, rows_of_lines = lines_by_omega(last)
    cells = [_texts(rows) for rows in rows_of_lines]
    caption = f"Budget of the generators on {setting_name(*setting)}"
    notes = [f"Means over seeds ({seeds_name(lines['n'])}). {NOTE}"]
    return page_by_omega(caption, lines, HEADER, cells, notes, omega_values(records))


def collapsed_clients(rows: pd.DataFrame) -> str:
    """The clients whose generators collapsed, by seed: "0: 2 6; 1: 3"; "none" if there are none.

    A dash where the records do not say.
    """
    if not has_values(rows, "client_coverage"):
        return NOTHING
    texts = []
    for row in rows.sort_values("seed").to_dict("records"):
        clients = _clients(row.get("collapsed_clients"))
        if clients:
            texts.append(f"{row['seed']}: {clients}")
    return "; ".join(texts) or "none"


def _clients(value: Any) -> str:
    """Clients' numbers separated by spaces; a table that was read from CSV has one as a number."""
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return ""
    return f"{value:.0f}"


def _texts(rows: pd.DataFrame) -> list[str]:
    """The cells of one label, after omega and method."""
    steps = mean_of(rows, "steps_generator") / rows["n_clients"].iloc[0]
    return [
        NOTHING if math.isnan(steps) else f"{steps:,.0f}",
        short(mean_of(rows, "flops") / 1e12),
        short(mean_of(rows, "method_s") + mean_of(rows, "stage_s")),
        mean_sd(mean_of(rows, "accuracy"), sd_of(rows, "accuracy")),
        mean_sd(mean_of(rows, "accuracy_teacher"), math.nan),
        *(short(mean_of(rows, column)) for column in IMAGES.values()),
        collapsed_clients(rows),
    ]
