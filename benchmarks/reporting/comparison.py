"""Means, paired differences, tests and ranks of the methods in a comparison.

A *group* is one (dataset, number of clients, widths, omega). Inside it the methods are paired by
seed, since a seed fixes the partition and the initial weights for all of them. The headline is the
last round. All accuracies and differences here are fractions (0 to 1, -1 to 1), times are seconds
and traffic is bytes; tables turn fractions into per cent.

Four choices that a reader should know:
- The sign of a difference is method - reference: positive means that the method is better than the
  reference.
- Some methods are measured but do not compete: floor (``local``), ceiling (``centralised``), those
  that need data at the server, and those whose result is not one model. They take no part in ranks,
  in bold, or in the family that Holm's correction counts.
- The tests of all groups are one family, because one reads all of a suite's tables.
- Where every pair differs by the same amount there is no test (see ``significance``).
"""

from typing import cast

import numpy as np
import pandas as pd

from benchmarks.metrics.columns import averaged_columns
from benchmarks.planning.methods import CEILING, FLOOR
from benchmarks.reporting.frames import grouped, groups, with_status
from benchmarks.reporting.names import method_order
from benchmarks.reporting.significance import (
    ALPHA,
    detectable_difference,
    half_width,
    holm,
    paired_test,
)

REFERENCE = "mosaic"
"""The method that the others are compared with unless a suite names another."""

SETTING = ["dataset", "n_clients", "widths"]
GROUP = [*SETTING, "omega"]


ALL_MODELS = "all models at test"
"""What methods need whose result is not one model, see ``mosaic.fl.contract.NEEDS``."""

SELECTIONS = {
    "last": "accuracy",
    "validation": "accuracy_validation_selected",
    "oracle": "accuracy_oracle",
}
"""How a cell's round is selected: the column of the summary with that round's accuracy."""


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """One row per group and method, sorted by group and then as by :func:`method_order`.

    ``accuracy``, ``accuracy_sd`` (sample, ddof 1), ``accuracy_ci`` (half width of the 95 % t
    interval) and ``n`` (seeds) are of the last round, as are the means of cost and fidelity.
    ``accuracy_validation_selected`` and ``accuracy_oracle`` with their ``_sd`` are of the rounds
    that validation or test accuracy would have picked. ``competes``: see
    :func:`out_of_competition`. ``n_failed``, ``n_skipped`` and
    ``n_missing`` count cells. The spread of one seed is NaN.
    """
    keys = [*GROUP, "label"]
    table = records[keys].drop_duplicates().set_index(keys)

    for mark, name in SELECTIONS.items():
        rows = selected_rounds(records, mark)
        table[name] = grouped(rows, keys, "accuracy", "mean")
        table[f"{name}_sd"] = grouped(rows, keys, "accuracy", "std")
        if mark == "last":
            table["n"] = grouped(rows, keys, "accuracy", "count")
            table["n"] = table["n"].fillna(0).astype(int)
            spreads = zip(table["accuracy_sd"], table["n"], strict=True)
            table["accuracy_ci"] = [half_width(sd, n) for sd, n in spreads]

    table = table.join(_means(selected_rounds(records, "last"), keys))

    for status in ("failed", "skipped", "missing"):
        cells = grouped(with_status(records, status), keys, "cell", "nunique")
        table[f"n_{status}"] = cells
        table[f"n_{status}"] = table[f"n_{status}"].fillna(0).astype(int)

    table = table.reset_index()
    table["competes"] = ~table["label"].isin(out_of_competition(records))
    order = method_order(records)
    table["place"] = [order.index(label) for label in table["label"]]
    return table.sort_values([*GROUP, "place"], ignore_index=True).drop(columns="place")


def _means(last: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The means over seeds of each averaged metric per group and method; absent ones are NaN."""
    columns = averaged_columns()
    last = last.assign(total_s=last["method_s"] + last["stage_s"])
    values = last.reindex(columns=[*keys, *columns]).astype(dict.fromkeys(columns, float))
    return cast(pd.DataFrame, values.groupby(keys)[columns].mean())


def paired_differences(
    records: pd.DataFrame, reference: str, out: list[str] | None = None
) -> pd.DataFrame:
    """Accuracy of every other method minus that of the reference, paired by seed, per group.

    Args:
        records: rows per cell and scored round.
        reference: label of the method that the others are compared with.
        out: the labels that do not compete; by default those of :func:`out_of_competition`.

    Returns:
        One row per group and method with ``difference`` (mean), ``sd`` (ddof 1), ``ci`` (half
        width, 95 %), ``n`` pairs (seeds that both finished), ``effect``, ``p``, ``p_signs``,
        ``p_wilcoxon`` and ``p_better`` of :func:`significance.paired_test`, and ``p_holm`` (``p``
        after Holm's correction over the ``holm_over`` comparisons with competitors in all groups:
        a suite is one family of tests), and ``competes``. Groups without the reference have no row.
        With fewer than 2 pairs every spread and p value is NaN.
    """
    rows = []
    order = method_order(records)
    for _, last in groups(selected_rounds(records, "last"), GROUP):
        rows += _tests_in_group(last, reference, order)
    return _corrected(rows, out_of_competition(records) if out is None else out)


def _tests_in_group(last: pd.DataFrame, reference: str, order: list[str]) -> list[dict]:
    """The tests of all methods of one group against the reference; none where it is absent.

    Args:
        last: the group's last rounds.
        reference: label of the method that the others are compared with.
        order: the labels of all methods in the order of the rows.
    """
    by_seed = last.pivot(index="seed", columns="label", values="accuracy")  # (seeds, methods)
    if reference not in by_seed:
        return []
    where = last.iloc[0][GROUP].to_dict()
    rows = []
    for label in order:
        if label in by_seed and label != reference:
            test = paired_test(by_seed.loc[:, label] - by_seed.loc[:, reference])
            rows.append({**where, "label": label, "reference": reference, **test})
    return rows


def _corrected(rows: list[dict], out: list[str]) -> pd.DataFrame:
    """The tests as a table, with Holm's correction over those of competitors that have a p.

    Args:
        rows: the tests.
        out: the labels that do not compete.
    """
    columns = [*GROUP, "label", "reference", "n", "difference", "sd", "ci", "effect"]
    columns += ["p", "p_signs", "p_wilcoxon", "p_better"]
    table = pd.DataFrame(rows, columns=columns)
    table["competes"] = ~table["label"].isin(out)
    family = table["p"].astype(float).where(table["competes"])
    table["p_holm"] = holm(family.to_numpy())
    table["holm_over"] = int(np.isfinite(family).sum())
    return table


def best_methods(records: pd.DataFrame) -> pd.DataFrame:
    """Which method is best in each group, and whether that is significant.

    Returns:
        One row per group and competitor that finished at least one seed. ``best``: it has the
        highest mean. ``bold``: it is best and its paired difference to *every* other competitor is
        significant at .05, after Holm's correction over the comparisons with the best in all
        groups. ``worse``: it is significantly worse than the best. With one seed, or with no other
        competitor, nothing is bold.
    """
    last = competitors(selected_rounds(records, "last")).dropna(subset=["accuracy"])
    tests = []
    winners: dict[tuple, str] = {}
    for group, members in groups(last, GROUP):
        means = cast(pd.Series, members.groupby("label", sort=False)["accuracy"].mean())
        winners[group] = str(means.idxmax())
        tests += _tests_in_group(members, winners[group], method_order(members))

    table = _corrected(tests, out=[])
    table["worse"] = (table["p_holm"] < ALPHA) & (table["difference"] < 0)
    worse = table.set_index([*GROUP, "label"])["worse"]

    rows = []
    for group, members in groups(last, GROUP):
        best = winners[group]
        others = [label for label in members["label"].unique() if label != best]
        verdicts = {label: bool(worse[*group, label]) for label in others}
        surely_best = bool(others) and all(verdicts.values())
        for label in members["label"].unique():
            row = dict(zip(GROUP, group, strict=True))
            row["label"] = label
            row["best"] = label == best
            row["bold"] = label == best and surely_best
            row["worse"] = verdicts.get(label, False)
            rows.append(row)
    return pd.DataFrame(rows, columns=[*GROUP, "label", "best", "bold", "worse"])


def power_of(records: pd.DataFrame, reference: str) -> tuple[int, float, float]:
    """What this many seeds can detect; without it "not significant" reads as "equal".

    Returns:
        The largest number of pairs, the detectable difference to the reference (a fraction), and
        the sd it is computed from: the median over groups and competitors of the sd of their
        differences to the reference.
    """
    pairs = competitors(paired_differences(records, reference))
    n = int(max(pairs["n"], default=0))
    sd = float(pairs.loc[pairs["n"] >= 2, "sd"].median())
    return n, detectable_difference(sd, n), sd


def unpaired_seeds(records: pd.DataFrame) -> list[tuple[float, int]]:
    """The (omega, seed) whose methods ran on different partitions; there should be none."""
    partitions = grouped(with_status(records, "done"), [*GROUP, "seed"], "partition", "nunique")
    differing = partitions.loc[partitions > 1]
    return [(omega, seed) for *_, omega, seed in differing.index]


def selected_rounds(records: pd.DataFrame, mark: str) -> pd.DataFrame:
    """The row of each finished cell that carries the mark.

    Args:
        records: rows per cell and scored round.
        mark: "last", "validation" or "oracle".

    Raises:
        ValueError: a method has two such rows for one seed of a group; their mean would count that
            seed twice.
    """
    marked = records["selection"].astype(str).str.contains(mark, regex=False, na=False)
    rows = records.loc[(records["status"] == "done") & marked]

    keys = [*GROUP, "label", "seed"]
    twice = rows.loc[rows.duplicated(keys)]  # pyright: ignore[reportArgumentType]
    if len(twice):
        raise ValueError(
            f"two {mark!r} rows for {dict(twice.iloc[0][keys])}: records that differ in anything "
            "else (scale, config) need a label of their own in 'label', or tables of their own"
        )
    return rows


def of_setting(table: pd.DataFrame, setting: tuple) -> pd.DataFrame:
    """The rows of a data set, a number of clients and widths."""
    return table.loc[(table[SETTING] == list(setting)).all(axis=1)]


def competitors(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of methods that compete.

    Args:
        rows: records, or a table made of them that has the column ``competes``.
    """
    if "competes" in rows:
        return rows.loc[rows["competes"].astype(bool)]
    return rows.loc[~rows["label"].isin(out_of_competition(rows))]


def out_of_competition(records: pd.DataFrame) -> list[str]:
    """The labels of methods that are measured but do not compete.

    They are floor and ceiling, methods that need data at the server, and those that need all
    clients' models at test. Records that do not say what a method needs leave it in.
    """
    facts = records.drop_duplicates("label").reindex(columns=["label", "data_free", "needs"])
    out = [FLOOR, CEILING]
    for label, data_free, needs in facts.itertuples(index=False):
        needs_data = pd.notna(data_free) and not data_free
        if needs_data or ALL_MODELS in str(needs):
            out.append(label)
    return out
