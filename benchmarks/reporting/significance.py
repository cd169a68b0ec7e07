"""Tests of paired differences: t and Wilcoxon tests, Holm's correction, detectable differences.

Where every pair differs by the same amount there is no estimate of the noise, so a paired t-test
says nothing: p is 1 if that amount is zero and NaN otherwise. NaN is never significant.

scipy is slow to import, so each function that computes with it imports it.
"""

import math
from typing import Any, cast

import numpy as np
import pandas as pd

ALPHA = 0.05
POWER = 0.8
EXACT = 1e-12
"""Fractions that differ by less than this are equal: only rounding makes them differ."""

MIN_PAIRS_WILCOXON = 6
"""With fewer pairs that differ, the signed-rank test cannot reach p = .05."""


def paired_test(differences: pd.Series) -> dict[str, Any]:
    """Mean, spread and tests of paired differences.

    Args:
        differences: one per seed, as fractions; NaN where one of the pair is missing.

    Returns:
        ``n`` pairs, ``difference`` (mean), ``sd`` (ddof 1), ``ci`` (half width, 95 %), ``p``
        (two-sided paired t-test) and ``p_wilcoxon`` (signed ranks). What cannot be computed is NaN.
    """
    from scipy import stats

    known = differences.dropna().to_numpy(dtype=float)
    n = len(known)
    mean = known.mean() if n else math.nan
    sd = known.std(ddof=1) if n >= 2 else math.nan

    p = math.nan
    if sd < EXACT:  # False for NaN
        sd = 0.0
        if abs(mean) < EXACT:
            p = 1.0
    elif n >= 2:
        t = abs(mean) / (sd / math.sqrt(n))
        p = 2 * stats.t.sf(t, n - 1)

    # Equal pairs are dropped and values rounded here, so that scipy neither warns nor ranks
    # differences of rounding.
    differing = np.round(known[np.abs(known) >= EXACT], 12)
    p_wilcoxon = math.nan
    if len(differing) >= MIN_PAIRS_WILCOXON:
        p_wilcoxon = float(cast(Any, stats.wilcoxon(differing)).pvalue)

    return {
        "n": n,
        "difference": mean,
        "sd": sd,
        "ci": half_width(sd, n),
        "p": p,
        "p_wilcoxon": p_wilcoxon,
    }


def half_width(sd: float, n: int) -> float:
    """Half the width of the 95 % t interval of a mean.

    Args:
        sd: sample standard deviation of the values.
        n: number of values; the result is NaN for fewer than 2.
    """
    from scipy import stats

    if n < 2:
        return math.nan
    return cast(float, stats.t.ppf(1 - ALPHA / 2, n - 1) * sd / math.sqrt(n))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of the p values (m,); NaN stays NaN and is not counted.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6, 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))

    # The smallest p is multiplied by the number of tests, the next by one less, and so on.
    order = tested[np.argsort(p_values[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    steps = factors * p_values[order]

    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def detectable_difference(sd: float, n: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest mean difference that a two-sided paired t-test finds with the given power.

    Exact, by the noncentral t distribution, and before any correction for several tests.

    Args:
        sd: standard deviation of the differences; the result has its unit.
        n: number of pairs.
        power: probability of finding the difference.
        alpha: level of the test.

    Returns:
        NaN for fewer than 2 pairs or an unknown sd; 0 for an sd of 0.
    """
    from scipy import optimize, stats

    if n < 2 or not math.isfinite(sd):
        return math.nan
    df = n - 1
    critical = float(stats.t.ppf(1 - alpha / 2, df))

    def missing_power(shift: float) -> float:
        # The lower tail, P(T < -critical), is below 1e-3 of the power here and is left out.
        return float(stats.nct.sf(critical, df, shift)) - power

    # A shift of twice the critical value plus 10 normal deviations is always enough.
    shift = cast(float, optimize.brentq(missing_power, 1e-9, 2 * critical + 10))
    return sd / math.sqrt(n) * shift
