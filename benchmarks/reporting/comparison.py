"""Means, paired differences, tests and ranks of the methods in a comparison.

A *group* is one (dataset, number of clients, widths, omega); inside it the methods are paired seed by seed, since a
seed fixes the partition and the first weights for all of them. The headline is the last round. All accuracies and
differences here are fractions (0 to 1, -1 to 1), seconds are s and bytes are bytes; per cent is for the tables.

Three choices that a reader should know:
- The sign of a difference is method - reference: positive means that the method is better than the reference.
- Floor (``local``) and ceiling (``centralised``) are measured but never compete: they take no part in ranks, in bold,
  or in the family that Holm's correction counts.
- Where every pair differs by the same amount there is no estimate of the noise, so a paired t-test says nothing: p is
  1 if that amount is zero and NaN otherwise. NaN is never significant.
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import optimize, stats

from benchmarks.planning.methods import CEILING, FLOOR, METHODS

SETTING = ["dataset", "n_clients", "widths"]
GROUP = [*SETTING, "omega"]
ALPHA = 0.05
POWER = 0.8
EXACT = 1e-12  # differences of fractions nearer than this are equal: only rounding told them apart

# What is averaged over seeds beside accuracy; total_s = method_s + stage_s.
MEANS = ["accuracy_before", "accuracy_teacher"]
MEANS += [
    "fid_domain",
    "fid_domain_floor",
    "is_domain",
    "is_domain_real",
    "kid_domain",
    "kid_domain_floor",
]
MEANS += ["fid_inception", "fid_inception_floor", "is_inception", "is_inception_real"]
MEANS += ["kid_inception", "kid_inception_floor", "fidelity_n", "upload_bytes", "download_bytes"]
MEANS += ["method_s", "stage_s", "total_s", "cpu_s", "flops", "peak_memory_bytes"]


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """One row a group and method, groups sorted and methods in the order of :func:`method_order`.

    ``accuracy``, ``accuracy_sd`` (sample, ddof 1), ``accuracy_ci`` (half width of the 95 % t interval) and ``n``
    (seeds) are of the last round, as are the means of cost and fidelity; ``accuracy_validation_selected`` and
    ``accuracy_oracle`` with their ``_sd`` are of the rounds that validation or test accuracy would have picked.
    ``n_failed`` and ``n_skipped`` count cells. A spread of one seed is NaN.
    """
    keys = [*GROUP, "method"]
    table = records[keys].drop_duplicates().set_index(keys)
    for mark, name in (
        ("last", "accuracy"),
        ("validation", "accuracy_validation_selected"),
        ("oracle", "accuracy_oracle"),
    ):
        accuracy = selected_rounds(records, mark).groupby(keys)["accuracy"]
        table[name], table[f"{name}_sd"] = accuracy.mean(), accuracy.std(ddof=1)
        if mark == "last":
            table["n"] = accuracy.count()
            table["n"] = table["n"].fillna(0).astype(int)
            table["accuracy_ci"] = [
                half_width(sd, n) for sd, n in zip(table["accuracy_sd"], table["n"], strict=True)
            ]
    last = selected_rounds(records, "last")
    last = last.assign(total_s=last["method_s"] + last["stage_s"])
    means = (
        last.reindex(columns=[*keys, *MEANS])
        .astype(dict.fromkeys(MEANS, float))
        .groupby(keys)[MEANS]
        .mean()
    )
    table = table.join(means)
    for status in ("failed", "skipped"):
        table[f"n_{status}"] = records[records["status"] == status].groupby(keys)["cell"].nunique()
        table[f"n_{status}"] = table[f"n_{status}"].fillna(0).astype(int)
    table = table.reset_index()
    place = {method: i for i, method in enumerate(method_order(records))}
    return (
        table.assign(place=table["method"].map(place))
        .sort_values([*GROUP, "place"], ignore_index=True)
        .drop(columns="place")
    )


def paired_differences(records: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Accuracy of every other method minus that of the reference, over the seeds that both finished, in each group.

    ``difference`` (mean), ``sd`` (ddof 1), ``ci`` (half width, 95 %), ``n`` pairs, ``p`` (two-sided paired t-test),
    ``p_wilcoxon`` (signed ranks; only where at least 6 pairs differ, below which it cannot reach .05), ``p_holm``
    (``p`` after Holm's correction over the ``holm_over`` competitors of that group with a p value). Groups without
    the reference have no row. With fewer than 2 pairs every spread and p value is NaN.
    """
    rows = []
    order = method_order(records)
    for group, last in selected_rounds(records, "last").groupby(GROUP):
        by_seed = last.pivot(index="seed", columns="method", values="accuracy")  # (seeds, methods)
        if reference not in by_seed:
            continue
        methods = [method for method in order if method in by_seed and method != reference]
        tests = [_paired(by_seed[method] - by_seed[reference]) for method in methods]
        competing = [method not in (FLOOR, CEILING) for method in methods]
        p_values = np.array(
            [t["p"] if c else np.nan for t, c in zip(tests, competing, strict=True)]
        )
        for method, test, p_holm in zip(methods, tests, holm(p_values), strict=True):
            names = dict(zip(GROUP, group, strict=True), method=method, reference=reference)
            rows.append(
                names | test | {"p_holm": p_holm, "holm_over": int(np.isfinite(p_values).sum())}
            )
    columns = [
        *GROUP,
        "method",
        "reference",
        "n",
        "difference",
        "sd",
        "ci",
        "p",
        "p_wilcoxon",
        "p_holm",
        "holm_over",
    ]
    return pd.DataFrame(rows, columns=columns)


def best_methods(records: pd.DataFrame) -> pd.DataFrame:
    """Who is best in each group, and is it sure? One row a group and competitor that finished at least one seed.

    ``best``: it has the highest mean. ``bold``: it is best and its paired difference to *every* other competitor is
    significant after Holm's correction at .05. ``worse``: it is significantly worse than the best. With one seed, or
    with nobody to compare with, nothing is bold.
    """
    rows = []
    last = competitors(selected_rounds(records, "last")).dropna(subset=["accuracy"])
    for group, members in last.groupby(GROUP):
        best = members.groupby("method", sort=False)["accuracy"].mean().idxmax()
        others = paired_differences(members, best).set_index("method")
        worse = (others["p_holm"] < ALPHA) & (others["difference"] < 0)
        for method in members["method"].unique():
            facts = {
                "best": method == best,
                "bold": method == best and len(worse) > 0 and bool(worse.all()),
            }
            facts["worse"] = method != best and bool(worse[method])
            rows.append(dict(zip(GROUP, group, strict=True), method=method) | facts)
    return pd.DataFrame(rows, columns=[*GROUP, "method", "best", "bold", "worse"])


def win_tie_loss(records: pd.DataFrame, reference: str, tie: float = 0.0005) -> pd.DataFrame:
    """How often the reference wins against each competitor, over the blocks (group x seed) that both finished.

    A tie is a difference below ``tie`` (a fraction; by default, what one decimal of a per cent does not show).
    """
    blocks = _blocks(records)  # (blocks, methods)
    if reference not in blocks:
        return pd.DataFrame(columns=["method", "wins", "ties", "losses", "n"])
    gain = blocks.drop(columns=reference).rsub(blocks[reference], axis=0)
    counts = {
        "wins": (gain >= tie).sum(),
        "ties": (gain.abs() < tie).sum(),
        "losses": (gain <= -tie).sum(),
        "n": gain.notna().sum(),
    }
    return pd.DataFrame(counts).rename_axis("method").reset_index()


def average_ranks(records: pd.DataFrame) -> pd.DataFrame:
    """The mean rank of each competitor (1 is best, equals share) over the ``n`` blocks that every competitor finished.

    A method that is absent from some blocks (skipped, failed) thereby narrows the blocks for all: ranks among
    different rivals would not be comparable.
    """
    complete = _blocks(records).dropna()
    ranks = complete.rank(axis=1, ascending=False).mean()
    table = ranks.rename_axis("method").rename("rank").reset_index().assign(n=len(complete))
    return table.sort_values("rank", kind="stable", ignore_index=True)


def detectable_difference(sd: float, n: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest mean difference that a two-sided paired t-test over ``n`` seeds finds with the given power.

    ``sd`` is that of the differences, and the result has its unit. Exact, by the noncentral t distribution, and
    before any correction for several tests. NaN for fewer than 2 seeds or an unknown sd; 0 for an sd of 0.
    """
    if n < 2 or not math.isfinite(sd):
        return math.nan
    df, critical = n - 1, stats.t.ppf(1 - alpha / 2, n - 1)

    def lacking(shift: float) -> float:
        # The lower tail, P(T < -critical), is below 1e-3 of the power here and is left out.
        return stats.nct.sf(critical, df, shift) - power

    # The shift that puts the centre at twice the critical value, plus 10 normal deviations, is always enough.
    return sd / math.sqrt(n) * optimize.brentq(lacking, 1e-9, 2 * critical + 10)


def power_of(records: pd.DataFrame, reference: str) -> tuple[int, float, float]:
    """What so many seeds could find at all: (n, the detectable difference, the sd it rests on), as fractions.

    n is the largest number of pairs, and the sd the median over groups and competitors of that of the differences to
    the reference. Without this, "not significant" reads as "equal".
    """
    pairs = competitors(paired_differences(records, reference))
    n, sd = pairs["n"].max() if len(pairs) else 0, pairs.loc[pairs["n"] >= 2, "sd"].median()
    return int(n), detectable_difference(sd, int(n)), float(sd)


def unpaired_seeds(records: pd.DataFrame) -> list[tuple[float, int]]:
    """The (omega, seed) at which finished methods of one group stood on different partitions; there should be none."""
    shares = records[records["status"] == "done"].groupby([*GROUP, "seed"])["partition"].nunique()
    return [(omega, seed) for *_, omega, seed in shares[shares > 1].index]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of the p values (m,); NaN stays NaN and is not counted.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = (len(order) - np.arange(len(order))) * p_values[order]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def half_width(sd: float, n: int) -> float:
    """Half the width of the 95 % t interval of a mean of ``n`` values with sample deviation ``sd``; NaN for n < 2."""
    return stats.t.ppf(1 - ALPHA / 2, n - 1) * sd / math.sqrt(n) if n >= 2 else math.nan


def selected_rounds(records: pd.DataFrame, mark: str) -> pd.DataFrame:
    """The row of each finished cell that carries the mark: ``last``, ``validation`` or ``oracle``.

    Raises ValueError where a method has two such rows for one seed of a group: their mean would count a seed twice.
    """
    marked = records["selection"].astype(str).str.contains(mark, regex=False, na=False)
    rows = records[(records["status"] == "done") & marked]
    twice = rows[rows.duplicated([*GROUP, "method", "seed"])]
    if len(twice):
        raise ValueError(
            f"two {mark!r} rows for {dict(twice.iloc[0][[*GROUP, 'method', 'seed']])}: records that differ in anything "
            "else (scale, config) need a label of their own in 'method', or tables of their own"
        )
    return rows


def competitors(records: pd.DataFrame) -> pd.DataFrame:
    """The records without those of the floor and the ceiling."""
    return records[~records["method"].isin([FLOOR, CEILING])]


def method_order(records: pd.DataFrame) -> list[str]:
    """The methods as every table and figure lists them: by algorithm as in METHODS, else as they first appear."""
    algorithms = records["algorithm" if "algorithm" in records else "method"]
    place = dict(
        zip(
            records["method"],
            algorithms.map({name: i for i, name in enumerate(METHODS)}),
            strict=True,
        )
    )
    last = place.get(CEILING, len(METHODS)) - 0.5  # where those stand that METHODS does not know
    return sorted(place, key=lambda method: last if math.isnan(place[method]) else place[method])


def setting_name(dataset: str, n_clients: int, widths: str) -> str:
    """The setting in words, e.g. "fashion-mnist, 10 clients, full width"."""
    return f"{dataset}, {n_clients} clients, {widths_name(widths)}"


def widths_name(widths: str) -> str:
    return {"full": "full width", "mixed": "mixed widths"}.get(widths, f"widths {widths}")


def seeds_name(counts: Iterable[int]) -> str:
    """The number of seeds in words, e.g. "n = 3 seeds" or "n = 2 to 3 seeds"; zeros are left out."""
    known = sorted({int(count) for count in counts if count > 0})
    if not known:
        return "n = 0 seeds"
    if len(known) > 1:
        return f"n = {known[0]} to {known[-1]} seeds"
    return "n = 1 seed" if known == [1] else f"n = {known[0]} seeds"


def _paired(differences: pd.Series) -> dict[str, float]:
    """Mean, spread and tests of the differences (seeds,), NaN where one of the pair is missing."""
    d = differences.dropna().to_numpy(dtype=float)
    n = len(d)
    mean = d.mean() if n else math.nan
    sd = d.std(ddof=1) if n >= 2 else math.nan
    if sd < EXACT:  # False for NaN
        sd, p = 0.0, 1.0 if abs(mean) < EXACT else math.nan
    else:
        p = 2 * stats.t.sf(abs(mean) / (sd / math.sqrt(n)), n - 1) if n >= 2 else math.nan
    # Equals dropped and ranks tied by hand, so that scipy neither warns nor ranks the rounding.
    moved = np.round(d[np.abs(d) >= EXACT], 12)
    p_wilcoxon = stats.wilcoxon(moved).pvalue if len(moved) >= 6 else math.nan
    return {
        "n": n,
        "difference": mean,
        "sd": sd,
        "ci": half_width(sd, n),
        "p": p,
        "p_wilcoxon": float(p_wilcoxon),
    }


def _blocks(records: pd.DataFrame) -> pd.DataFrame:
    """Last-round accuracy of the competitors: (blocks, methods), a block being one seed of one group."""
    last = competitors(selected_rounds(records, "last"))
    order = [method for method in method_order(records) if method in set(last["method"])]
    return last.pivot(index=[*GROUP, "seed"], columns="method", values="accuracy")[order]
