"""The sentences of ``stability.md``: does tuning gain, and is its optimum stable?"""

import math
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import CategoricalDistribution
from scipy import stats

from benchmarks.reporting.significance import ALPHA, EXACT, detectable_difference
from benchmarks.reporting.table import p_value
from benchmarks.tuning.board import PER_CENT, short, value_text
from benchmarks.tuning.plan import DEFAULT, Plan
from benchmarks.tuning.stability_evidence import Evidence, trial_label

MISSING = "–"


def verdict_of(evidence: Evidence) -> list[str]:
    """Does the winner on the tuning seeds beat the default on fresh seeds? In plain sentences."""
    if not _winner_beat_default(evidence):
        return [
            "Tuning does not gain: no other setting beat the default on the tuning seeds. "
            "Keep the default."
        ]

    winner = trial_label(evidence.chosen[0])
    if winner not in evidence.tests.index or not evidence.tests.loc[winner, "n"]:
        return [
            f"{winner}, the best on tuning seeds, and the default share no finished fresh seed: "
            "nothing can be said."
        ]

    plan = evidence.plan
    test = evidence.tests.loc[winner]
    n = int(test["n"])
    seeds = "1 fresh seed" if n == 1 else f"{n} fresh seeds"
    finding = (
        f"on {seeds}, {winner}, the best on tuning seeds, differs from the default "
        f"by {difference_text(plan, test['difference'])}"
    )
    if n == 1:
        return [
            f"Not known: {finding}, and one seed allows no test. Give more with --stability-seeds."
        ]

    interval = difference_text(plan, test["ci"]).lstrip("+")
    finding += f" (95 % interval ± {interval}, p = {p_value(test['p'])})"
    # p is not corrected: the tuning seeds chose this one setting before it was tested.
    if test["p"] < ALPHA and test["difference"] > 0:
        return [f"Tuning gains: {finding}."]
    if test["p"] < ALPHA:
        return [f"Tuning does harm: {finding}. Keep the default."]
    return [
        f"No gain is shown: {finding}.",
        *_power(plan, test["sd"], n),
        "Keep the default unless more seeds say otherwise.",
    ]


def _winner_beat_default(evidence: Evidence) -> bool:
    """Whether the best trial is better than the default on the tuning seeds."""
    if not evidence.chosen:
        return False
    if DEFAULT not in evidence.tuned:
        return True
    sign = evidence.sign
    return sign * evidence.chosen[0].values[0] > sign * evidence.tuned[DEFAULT][0]


def _power(plan: Plan, sd: float, n: int) -> list[str]:
    """Which difference so few seeds can show; nothing where that is not known."""
    least = detectable_difference(sd, n)
    if not (math.isfinite(least) and least > 0):
        return []
    size = difference_text(plan, least).lstrip("+")
    return [f"With {n} seeds only a difference of about {size} would be found (power 80 %)."]


def observations(evidence: Evidence) -> list[str]:
    """Does the order of the settings hold on fresh seeds, and are the best ones near each other?"""
    fresh = evidence.fresh[evidence.plan.objectives[0]]
    # The settings with a result on tuning seeds and on at least one fresh seed.
    both = [
        label for label in evidence.tuned if label in fresh.index and fresh.loc[label].notna().any()
    ]
    texts = _shrinkage(evidence, fresh, both)
    texts += _rank_correlation(evidence, fresh, both)
    texts += _winners(evidence.sign * fresh.dropna(axis=1))
    if len(evidence.chosen) > 1:
        for key in evidence.plan.space:
            values = [trial.params[key] for trial in evidence.chosen]
            texts.append(_spread(evidence.plan, key, values))
    return texts


def _shrinkage(evidence: Evidence, fresh: pd.DataFrame, both: list[str]) -> list[str]:
    """The best trial's lead over the default on tuning seeds, beside that on fresh ones."""
    if not evidence.chosen:
        return []
    winner = trial_label(evidence.chosen[0])
    if winner not in both or DEFAULT not in both:
        return []
    plan = evidence.plan
    before = evidence.sign * (evidence.tuned[winner][0] - evidence.tuned[DEFAULT][0])
    after = evidence.sign * (fresh.loc[winner].mean() - fresh.loc[DEFAULT].mean())
    return [
        f"{winner} was ahead of the default by {difference_text(plan, before)} "
        f"on the tuning seeds, which chose it, and by {difference_text(plan, after)} "
        "on fresh ones: where that is less, chance had a share in the choice."
    ]


def _rank_correlation(evidence: Evidence, fresh: pd.DataFrame, both: list[str]) -> list[str]:
    """Spearman's rank correlation of the settings' means; nothing where it is not defined."""
    tuned = [evidence.tuned[label][0] for label in both]
    means = [fresh.loc[label].mean() for label in both]
    if len(both) < 3 or len(set(means)) == 1 or len(set(tuned)) == 1:
        return []
    rho, _ = stats.spearmanr(tuned, means)
    return [
        f"Rank correlation of these {len(both)} settings between tuning and fresh seeds: "
        f"{rho:+.2f}."
    ]


def _winners(values: pd.DataFrame) -> list[str]:
    """Which setting is best on which fresh seed.

    Args:
        values: (settings, seeds), larger is better.
    """
    if len(values) < 2 or len(values.columns) < 2:
        return []

    best: dict[Any, set[str]] = {}
    for seed, column in values.items():
        best[seed] = set(column.index[column >= column.max() - EXACT])
    if all(len(labels) == len(values) for labels in best.values()):
        return ["All these settings do equally well on the fresh seeds."]

    always = set.intersection(*best.values())
    verdict = "not stable: no setting is the best on each"
    if always:
        verdict = f"stable: {', '.join(sorted(always))} on each"
    per_seed = "; ".join(
        f"seed {seed}: {', '.join(sorted(labels))}" for seed, labels in best.items()
    )
    return [f"Over fresh seeds the optimum is {verdict} ({per_seed})."]


def _spread(plan: Plan, key: str, values: list[Any]) -> str:
    """How far the best trials' values of one setting are from each other."""
    distribution = plan.space[key]
    if isinstance(distribution, CategoricalDistribution):
        return f"{key} of the best {len(values)}: {', '.join(map(str, values))}."

    # The share of the range that the values cover, on the scale on which it is searched.
    place = math.log if distribution.log else float
    low, high = min(values), max(values)
    share = (place(high) - place(low)) / (place(distribution.high) - place(distribution.low))
    return (
        f"{key} of the best {len(values)}: {short(low)} to {short(high)}, {share:.0%} of its range."
    )


def difference_text(plan: Plan, value: float) -> str:
    """A difference of the first objective; of accuracies in percentage points."""
    if plan.objectives[0] in PER_CENT:
        return f"{100 * value:+.2f} points"
    return f"{value:+.4g}"


def mean_text(objective: str, values: list[float]) -> str:
    """Mean ± sample standard deviation over seeds; the value alone where there is one seed."""
    if not values:
        return MISSING
    mean = value_text(objective, sum(values) / len(values))
    if len(values) == 1:
        return mean
    return f"{mean} ± {value_text(objective, float(np.std(values, ddof=1)))}"
