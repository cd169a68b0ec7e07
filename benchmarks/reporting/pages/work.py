"""The page that says what each method computes: shares of its budget and of its paper's images."""

import dataclasses
import math

import pandas as pd

from benchmarks.planning.methods import METHODS
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import has_values, of_label, values_of
from benchmarks.reporting.names import method_order, setting_name
from benchmarks.reporting.table import NOTHING, Page, span

SIZES = ("batch", "ngf", "latent", "hidden")
"""A setting whose name has one of these is a size of a batch or of a network."""

MOST = 1.05
"""A share of the budget up to which a method counts as within it: steps are whole numbers."""

NOTE = (
    "FLOP: what the clients compute beyond FedAvg's local training, and what the server computes, "
    "both in multiples of FedAvg's local training of the task; counted from the networks and the "
    "steps. Budget: the same as a share of what the method may compute. Images: those that the "
    "clients' generators, and the student at the server, learn from, as a share of the paper's, "
    "over all rounds. A method below its budget has its paper's full number of steps, or none to "
    "choose. Not the paper's: sizes of batches and networks, with the defaults, which are the "
    "paper's, in brackets."
)


def work_page(records: pd.DataFrame, setting: tuple) -> Page | None:
    """A row per method over all omegas and seeds; None where no record says what it computed.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
    """
    if not has_values(records, "client_spent"):
        return None
    last = comparison.selected_rounds(records, "last")
    rows = []
    for label in method_order(records):
        of_method = of_label(last, label)
        if len(of_method):
            rows.append([label, *_side(of_method, "client"), *_side(of_method, "server")])
            rows[-1].append(", ".join(other_sizes(of_method)) or NOTHING)

    header = ["method"]
    for side in ("client", "server"):
        header += [f"{side} FLOP", f"{side} budget", f"{side} images"]
    return Page(
        caption=f"What each method computes on {setting_name(*setting)}",
        header=[*header, "not the paper's"],
        rows=rows,
        notes=[NOTE, *above_the_budget(last)],
    )


def above_the_budget(last: pd.DataFrame) -> list[str]:
    """A note on the methods that compute more than their budget, if there are any.

    Args:
        last: the rows of last rounds.
    """
    texts = []
    for label in method_order(last):
        rows = of_label(last, label)
        for side in ("client", "server"):
            share = (_numbers(rows, f"{side}_spent") / _numbers(rows, f"{side}_budget")).max()
            if share > MOST:
                texts.append(f"{label} ({100 * share:.0f} % at the {side})")
    if not texts:
        return []
    return [
        f"Above the budget: {', '.join(texts)}. Either the settings ask for it, or the budget is "
        "too small for one step; then the methods are not compared at equal cost."
    ]


def _side(rows: pd.DataFrame, side: str) -> list[str]:
    """FLOP, share of the budget and share of the paper's images of one side."""
    spent = _numbers(rows, f"{side}_spent")
    of_budget = spent / _numbers(rows, f"{side}_budget")
    return [
        span(spent, "{:.3g}".format),
        span(100 * of_budget, "{:.0f} %".format),
        span(100 * _numbers(rows, f"{side}_share"), _percent),
    ]


def _numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    if column not in rows:
        return pd.Series(math.nan, index=rows.index)
    return rows.loc[:, column].astype(float)


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def other_sizes(rows: pd.DataFrame) -> list[str]:
    """The sizes of batches and networks that are not a method's defaults: "ngf 16 (64)"."""
    texts = []
    for method in values_of(rows, "method"):
        if method not in METHODS:
            continue
        for field in dataclasses.fields(METHODS[method].Config):
            if not any(size in field.name for size in SIZES) or not isinstance(field.default, int):
                continue
            for value in values_of(rows, f"config.{field.name}"):
                if value != field.default:
                    texts.append(f"{field.name} {value:g} ({field.default})")
    return texts
