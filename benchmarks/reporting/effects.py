"""What a choice is worth: paired differences of accuracy between two runs, or two entries of one.

``python -m benchmarks.reporting.effects FOLDER OTHER`` compares each method of two runs of a suite;
with one folder, each method's other entries with its own, or the pairs that ``--pair`` names. A
difference is that of one seed's two cells after the last round, the other minus the first: positive
means that the other is better.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.cli import exit_code_of, printed_warnings
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import grouped, groups
from benchmarks.reporting.names import method_order, number, setting_name
from benchmarks.reporting.run_folder import read_run
from benchmarks.reporting.significance import paired_test
from benchmarks.reporting.table import (
    NOTHING,
    Page,
    markdown,
    mean_sd,
    p_value,
    rules_between,
    short,
    signed,
)
from benchmarks.running.stopping import stops_cleanly
from mosaic.fl.errors import InputError, did_you_mean

PAIR = ["label", "other_label"]
CELL = [*comparison.GROUP, "seed"]

ALL = math.nan
"""The omega of a row over all omegas: of each seed, the mean difference."""

SETTINGS = ("client_work", "server_work", "budget", "precision", "data")
"""The columns, beside ``task.*`` and ``config.*``, that say what two cells differ in."""


def between_runs(first: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Pair the cells of two runs that have the same label, setting, omega and seed.

    Args:
        first: rows per cell and scored round.
        other: those of the other run.

    Returns:
        One row per pair of cells: ``label``, ``other_label``, setting, omega, seed, ``accuracy``
        and ``other_accuracy`` of the last round.

    Raises:
        InputError: no two cells belong together.
    """
    first = _last_rounds(first)
    other = _last_rounds(other)
    pairs = _merged(first, other.assign(other_label=other["label"]), [*CELL, "label"])
    if not len(pairs):
        raise InputError(
            "the two runs have no finished cell in common: a method, data set, number of clients, "
            "widths, omega and seed; give the folders of one suite that was run twice."
        )
    return _ordered(pairs, method_order(first))


def within_run(records: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Pair the cells of two labels of one run; as :func:`between_runs`.

    Args:
        records: rows per cell and scored round.
        pairs: labels, the first and the other.

    Raises:
        InputError: there is no such label, or no two cells belong together.
    """
    last = _last_rounds(records)
    labels = list(records["label"].unique())
    parts = []
    for label, other in pairs:
        for name in (label, other):
            if name not in labels:
                raise did_you_mean("label", name, labels)
        of_first = last.loc[last["label"] == label]
        of_other = last.loc[last["label"] == other].rename(columns={"label": "other_label"})
        parts.append(_merged(of_first, of_other, CELL))
    if not parts:
        raise InputError(
            "no method of this run has a second entry to compare; name two labels by --pair, or "
            "give the folder of another run."
        )
    found = pd.concat(parts)
    if not len(found):
        named = ", ".join(f"{label} and {other}" for label, other in pairs)
        raise InputError(
            f"{named} have no finished cell in common: a data set, number of clients, widths, "
            "omega and seed; name two other labels by --pair."
        )
    return _ordered(found, method_order(records))


def pairs_of(records: pd.DataFrame) -> list[tuple[str, str]]:
    """Each method's own label, and each further label of the method; only those that finished."""
    entries = _last_rounds(records)[["method", "label"]].drop_duplicates()
    labels = set(entries["label"])
    pairs = []
    for method, label in entries.itertuples(index=False):
        if label != method and method in labels:
            pairs.append((method, label))
    return pairs


def effects(pairs: pd.DataFrame) -> pd.DataFrame:
    """The mean difference of each pair of labels over seeds.

    Args:
        pairs: of :func:`between_runs` or :func:`within_run`.

    Returns:
        One row per setting, omega and pair of labels, and one over all omegas (its omega is NaN)
        of the seeds that have them all: ``accuracy`` and ``other_accuracy`` (means), and
        :func:`significance.paired_test` of other minus first.
    """
    rows = []
    for group, cells in groups(pairs, [*comparison.SETTING, *PAIR]):
        where = dict(zip([*comparison.SETTING, *PAIR], group, strict=True))
        n_omegas = len(set(cells["omega"]))
        for (omega,), here in groups(cells, ["omega"]):
            rows.append(where | {"omega": omega} | _effect(here))
        if n_omegas > 1:
            names = ("accuracy", "other_accuracy")
            means = pd.DataFrame({name: grouped(cells, "seed", name, "mean") for name in names})
            complete = grouped(cells, "seed", "omega", "count") == n_omegas
            rows.append(where | {"omega": ALL} | _effect(means.loc[complete]))
    table = pd.DataFrame(rows)
    order = {pair: i for i, pair in enumerate(pairs[PAIR].itertuples(index=False, name=None))}
    table["place"] = [order[pair] for pair in table[PAIR].itertuples(index=False, name=None)]
    keys = [*comparison.SETTING, "omega", "place"]
    return table.sort_values(keys, ignore_index=True).drop(columns="place")


def _effect(cells: pd.DataFrame) -> dict[str, Any]:
    test = paired_test(cells.loc[:, "other_accuracy"] - cells.loc[:, "accuracy"])
    means = {name: cells[name].mean() for name in ("accuracy", "other_accuracy")}
    return means | test


def differing_settings(pairs: pd.DataFrame) -> list[str]:
    """What the paired cells differ in, e.g. "task.norm: batch, other group"."""
    texts = []
    for column in sorted(pairs.columns):
        is_setting = column.startswith(("task.", "config.")) or column in SETTINGS
        if not is_setting or f"other_{column}" not in pairs:  # a run of another version lacks some
            continue
        firsts = _texts(pairs.loc[:, column])
        others = _texts(pairs.loc[:, f"other_{column}"])
        values = zip(firsts, others, strict=True)
        differing = {value for value in values if value[0] != value[1]}
        if differing:
            first, other = (", ".join(sorted(set(side))) for side in zip(*differing, strict=True))
            texts.append(f"{column}: {first}, other {other}")
    return texts


def _texts(values: pd.Series) -> list[str]:
    """The values as texts; a dash where a method has no such setting."""
    return [NOTHING if pd.isna(value) else str(value) for value in values]


def effect_pages(pairs: pd.DataFrame) -> list[Page]:
    """The effects as tables, one per setting, a row per omega and pair of labels.

    Args:
        pairs: of :func:`between_runs` or :func:`within_run`.
    """
    note = (
        "Points: the other minus the first, paired by seed, last round; positive means that the "
        "other is better. ± 95% CI: half the interval of the mean over n seeds. p: two-sided "
        "paired t-test, not corrected for the number of rows. P(> 1): the probability that the "
        "difference is more than a point. – where there are fewer than 2 pairs, or every pair "
        "differs by the same amount. All: the mean over omegas, of seeds that have them all."
    )
    notes = [note]
    if settings := differing_settings(pairs):
        notes.append(f"The two sides differ in {'; '.join(settings)}.")

    pages = []
    columns = ["first %", "other %", "points", "± 95% CI", "n", "p", "P(> 1)"]
    for setting, table in groups(effects(pairs), comparison.SETTING):
        rows = [_row(row) for row in table.to_dict("records")]
        pages.append(
            Page(
                caption=f"Effects on {setting_name(*setting)} (percentage points)",
                header=["ω", "first", "other", *columns],
                rows=rows,
                notes=notes,
                rules=rules_between([row[0] for row in rows]),
                n_names=3,
            )
        )
    return pages


def _row(effect: dict) -> list[str]:
    omega = "all" if math.isnan(effect["omega"]) else number(effect["omega"])
    same = effect["label"] == effect["other_label"]
    return [
        omega,
        effect["label"],
        "the same" if same else effect["other_label"],
        mean_sd(effect["accuracy"], math.nan),
        mean_sd(effect["other_accuracy"], math.nan),
        signed(100 * effect["difference"]),
        short(100 * effect["ci"]),
        str(effect["n"]),
        p_value(effect["p"]),
        p_value(effect["p_better"]),
    ]


def _last_rounds(records: pd.DataFrame) -> pd.DataFrame:
    """The last row of each finished cell that has an accuracy."""
    try:
        return comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    except ValueError as error:
        raise InputError(
            f"{error}. Give each run an --out of its own, and run the report again there."
        ) from None


def _merged(first: pd.DataFrame, other: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The pairs of cells with equal keys; the other's columns begin with "other_"."""
    shared = [name for name in other.columns if name not in (*keys, "other_label")]
    other = other.rename(columns={name: f"other_{name}" for name in shared})
    return first.merge(other, on=keys, how="inner")


def _ordered(pairs: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """The pairs in the order of the tables."""
    places = {
        "place": [order.index(label) for label in pairs["label"]],
        "place_of_other": [order.index(label) for label in pairs["other_label"]],
    }
    return pairs.assign(**places).sort_values([*places, *CELL], ignore_index=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the effects between two folders, or within one, as Markdown."""
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reporting.effects",
        description="Print what a choice is worth: paired differences of accuracy in points.",
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", type=Path, help="a suite's folder, as results/choices")
    add("other", metavar="OTHER", type=Path, nargs="?", help="that of another run of the suite")
    add(
        "--pair",
        nargs=2,
        action="append",
        metavar=("LABEL", "OTHER_LABEL"),
        help="two labels of FOLDER; by default each method and its other entries",
    )
    return parser.parse_args(argv)


def _command(options: argparse.Namespace) -> int:
    if options.other and options.pair:
        raise InputError("--pair compares labels of one folder; leave it out, or OTHER.")
    with printed_warnings():
        records = read_run(options.folder)
        if options.other:
            pairs = between_runs(records, read_run(options.other))
        else:
            pairs = within_run(records, options.pair or pairs_of(records))
    for page in effect_pages(pairs):
        print(markdown(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
