"""How much of a method's spread is its own chance: over a setting of a grid, at the same data.

The last setting of a grid, such as ``meta_seed``, is the one that is repeated. For one data seed
all its values have the same partition and initial weights, so their spread is not the data's.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.names import method_order, omega_values, seeds_name, setting_name
from benchmarks.reporting.pages.differences import page_by_omega
from benchmarks.reporting.table import NOTHING, Page, mean_sd, short

NAME = "variance"
"""The page's name in a suite's ``pages``."""


@dataclass(frozen=True)
class Spread:
    """The spread of one number, as fractions; NaN where it is not known.

    Attributes:
        mean: over all cells.
        repeats: its sd (ddof 1) over the repeated setting at one data seed, pooled over data seeds.
        seeds: its sd (ddof 1) over data seeds at one value of the setting, pooled over the values.
    """

    mean: float
    repeats: float
    seeds: float

    @property
    def share(self) -> float:
        """The share of the variance over data seeds that is also there at the same data.

        It is an estimate and may be above 1.
        """
        if not self.seeds > 0:
            return math.nan
        return (self.repeats / self.seeds) ** 2


def spread_of(values: pd.DataFrame) -> Spread:
    """The spread of a table (data seeds, values of the repeated setting)."""
    return Spread(
        mean=float(np.nanmean(values.to_numpy(float))),
        repeats=pooled_sd(values),
        seeds=pooled_sd(values.T),
    )


def pooled_sd(values: pd.DataFrame) -> float:
    """The root of the mean over rows of the variance (ddof 1) in a row; NaN without a variance."""
    variances = values.var(axis=1).to_numpy(float)
    known = variances[~np.isnan(variances)]
    if len(known) == 0:
        return math.nan
    # The mean of equal values may be off by a last bit, and their variance then 1e-32
    return math.sqrt(round(known.mean(), 15))


def variance_page(records: pd.DataFrame, setting: tuple) -> Page:
    """The spread of accuracies over repeats and over data seeds, a row per omega and grid line.

    Methods without a grid have a row too, with the spread over data seeds alone.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
    """
    last = comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    if "accuracy_teacher" not in last:
        last = last.assign(accuracy_teacher=math.nan)
    order = method_order(last)
    last = last.assign(place=[order.index(label) for label in last["label"]], **_lines(last))
    last = last.sort_values("place", kind="stable")

    table = []
    cells = []
    for omega in sorted(last["omega"].unique()):
        at_omega = last.loc[last["omega"] == omega]
        for line, rows in at_omega.groupby("line", sort=False):
            table.append({"omega": omega, "label": line, "n": rows["seed"].nunique()})
            spreads = [*_texts(rows, "accuracy"), *_texts(rows, "accuracy_teacher")]
            cells.append([_repeats(rows), *spreads])

    columns = ["accuracy", "sd repeats", "sd seeds", "share"]
    header = ["repeats", *columns, *(f"teacher's {column}" for column in columns)]
    lines_of_page = pd.DataFrame(table, columns=["omega", "label", "n"])
    note = (
        f"Test accuracy in the last round, {seeds_name(lines_of_page['n'])}, per cent. Sd repeats: "
        "over the values of the repeated setting at the same data, pooled over seeds. Sd seeds: "
        "over seeds (other data, partitions, weights) at one value, pooled over the values. Share: "
        "of the variance over seeds, how much is there at the same data too (the square of sd "
        "repeats over sd seeds); above 1 there is nothing left for the data. Sds of few seeds are "
        "rough."
    )
    caption = f"Spread at the same data and over data on {setting_name(*setting)} (per cent)"
    return page_by_omega(caption, lines_of_page, header, cells, [note], omega_values(records))


def _lines(last: pd.DataFrame) -> dict[str, list[str]]:
    """For each row its line of the table, and the name of the setting that the line repeats.

    A line is a grid at one point of all its settings but the last: "mosaic meta=linear". A method
    without a grid is a line, which repeats nothing.
    """
    if "grid_settings" not in last:  # from an older version
        last = last.assign(grid_settings="")
    lines = []
    repeated = []
    for row in last.fillna({"grid_settings": ""}).to_dict("records"):
        *others, name = row["grid_settings"].split() or [""]
        point = " ".join(f"{other}={row[f'config.{other}']}" for other in others)
        lines.append(f"{row['grid']} {point}".strip() if name else row["label"])
        repeated.append(name)
    return {"line": lines, "repeated": repeated}


def _repeats(rows: pd.DataFrame) -> str:
    """What is repeated and how often, e.g. "5 meta_seed"."""
    name = rows["repeated"].iloc[0]
    return f"{rows['label'].nunique()} {name}" if name else NOTHING


def _texts(rows: pd.DataFrame, column: str) -> list[str]:
    """The cells of one number of a line: its mean, both sds and the share."""
    values = rows.pivot(index="seed", columns="label", values=column)
    if not values.notna().any(axis=None):
        return [NOTHING] * 4
    spread = spread_of(values)
    sds = [short(100 * spread.repeats), short(100 * spread.seeds)]
    share = NOTHING if math.isnan(spread.share) else f"{spread.share:.2f}"
    return [mean_sd(spread.mean, math.nan), *sds, share]
