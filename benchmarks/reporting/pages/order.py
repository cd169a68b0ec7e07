"""The page that says where the order of the methods depends on the budget."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups, with_status
from benchmarks.reporting.names import (
    method_order,
    omega_names,
    omega_values,
    setting_name,
)
from benchmarks.reporting.table import NOTHING, Page

PAIR = ["omega", "seed", "label"]


@dataclass(frozen=True)
class OtherBudget:
    """What the same suite has with the other budget.

    Attributes:
        own: the name of the report's own budget.
        name: the name of the other one.
        records: the records with the other one, of all settings.
    """

    own: str
    name: str
    records: pd.DataFrame


def order_page(records: pd.DataFrame, others: OtherBudget, setting: tuple) -> Page | None:
    """Ranks under both budgets; None where they have no two methods in common.

    A method takes part at an omega on the seeds on which it finished under both.

    Args:
        records: the setting's rows per cell and scored round.
        others: those of the same suite with the other budget.
        setting: data set, number of clients and widths.
    """
    here = others.records
    for column, value in zip(comparison.SETTING, setting, strict=True):
        here = here.loc[here[column] == value]
    both = _last(records).merge(_last(here), on=PAIR, suffixes=("", "_other"))
    both = both.loc[~both["label"].isin(comparison.out_of_competition(records))]
    if both["label"].nunique() < 2:
        return None

    columns: list[dict[str, str]] = []
    notes = []
    names, values = omega_names(both), omega_values(both)
    for (omega,), rows in groups(both, ["omega"]):
        means = cast(pd.DataFrame, rows.groupby("label")[["accuracy", "accuracy_other"]].mean())
        columns.append(_ranks(means))
        notes.append(f"{names[omega]}: {_turned_text(means, others)}")

    own, other = others.own, others.name
    labels = [label for label in method_order(records) if any(label in c for c in columns)]
    note = (
        f"Ranks (1 is best) by mean accuracy with the budget {own} and, where another, {other}, "
        "over the seeds that a method finished with both. Below: the pairs whose order turns round."
    )
    return Page(
        caption=f"Order of the methods with the budgets {own} and {other} on "
        f"{setting_name(*setting)}",
        header=["method", *(f"ω {value}" for value in values.values())],
        rows=[[label, *(column.get(label, NOTHING) for column in columns)] for label in labels],
        notes=[note, *notes],
    )


def turned_pairs(means: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The pairs (A, B) of labels where A is ahead with one budget and B with the other.

    Args:
        means: a row per label with ``accuracy`` and ``accuracy_other``.
    """
    ordered = means.sort_values("accuracy", ascending=False)
    for a, b in itertools.combinations(ordered.index, 2):
        ahead = means.loc[a] - means.loc[b]
        if ahead["accuracy"] > 0 > ahead["accuracy_other"]:
            yield a, b


def _last(records: pd.DataFrame) -> pd.DataFrame:
    last = comparison.selected_rounds(with_status(records, "done"), "last")
    return last.loc[:, [*PAIR, "accuracy"]]


def _ranks(means: pd.DataFrame) -> dict[str, str]:
    ranks = means.rank(ascending=False, method="min").astype(int)
    texts = {}
    for label, own, other in ranks.itertuples():
        texts[label] = str(own) if own == other else f"{own} → {other}"
    return texts


def _turned_text(means: pd.DataFrame, others: OtherBudget) -> str:
    turned = [f"{a} / {b}" for a, b in turned_pairs(means)]
    if not turned:
        return f"all {len(means)} methods have the same order with both budgets."
    n_pairs = len(means) * (len(means) - 1) // 2
    return (
        f"{len(turned)} of {n_pairs} pairs; the first is ahead with {others.own}, the second with "
        f"{others.name}: {', '.join(turned)}."
    )
