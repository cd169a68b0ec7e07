"""Tests of paired differences, Holm's correction, detectable differences, and tests of ranks.

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

MIN_PAIRS_EXACT = 6
"""With fewer pairs that differ, neither exact test (signs, signed ranks) can reach p = .05."""

MOST_PAIRS_EXACT = 20
"""With more pairs that differ, the exact test of signs has too many sums; a million for 21."""

MOST_PAIRS_TIED = 13
"""With more pairs scipy's test of signed ranks is not exact where ranks are tied."""

MARGIN = 0.01
"""A difference that matters: one percentage point."""


def paired_test(differences: pd.Series) -> dict[str, Any]:
    """Mean, spread and tests of paired differences.

    Args:
        differences: one per seed, as fractions; NaN where one of the pair is missing.

    Returns:
        ``n`` pairs, ``difference`` (mean), ``sd`` (ddof 1), ``ci`` (half width, 95 %), ``effect``
        (difference over sd, Cohen's d of pairs), ``p`` (two-sided paired t-test), ``p_signs``
        (:func:`sign_flip_test`), ``p_wilcoxon`` (:func:`signed_rank_test`) and ``p_better``
        (:func:`probability_above` a difference of MARGIN). What cannot be computed is NaN.
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

    return {
        "n": n,
        "difference": mean,
        "sd": sd,
        "ci": half_width(sd, n),
        "effect": mean / sd if sd > 0 else math.nan,
        "p": p,
        "p_signs": sign_flip_test(differing),
        "p_wilcoxon": signed_rank_test(differing),
        "p_better": probability_above(MARGIN, mean, sd, n),
    }


def sign_flip_test(differences: np.ndarray) -> float:
    """The two-sided p of a mean under all changes of sign, which needs no normal distribution.

    Args:
        differences: one per seed, none of them 0.

    Returns:
        The exact p, a multiple of 2^(1-n). NaN for fewer than MIN_PAIRS_EXACT differences, and for
        more than MOST_PAIRS_EXACT, whose sums take too much memory; then the t test is as good.
    """
    if not MIN_PAIRS_EXACT <= len(differences) <= MOST_PAIRS_EXACT:
        return math.nan

    # scipy's permutation test gives the same p, but a page of thousands of cells waits for it.
    # The sums under all choices of signs; the first sign is fixed, since the other half mirrors it.
    sums = differences[:1].astype(float)
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    as_large = np.abs(sums) >= abs(differences.sum()) * (1 - EXACT)
    return float(as_large.mean())


def signed_rank_test(differences: np.ndarray) -> float:
    """The two-sided p of Wilcoxon's signed ranks.

    Up to MOST_PAIRS_TIED pairs it is exact, and equal to scipy's. That calls a function of Python
    for each of the 2^n choices of signs where ranks are tied, which takes 0.1 s at 10 pairs.

    Args:
        differences: one per seed, none of them 0.

    Returns:
        NaN for fewer than MIN_PAIRS_EXACT differences.
    """
    from scipy import stats

    if len(differences) < MIN_PAIRS_EXACT:
        return math.nan
    if len(differences) > MOST_PAIRS_TIED:
        return float(cast(Any, stats.wilcoxon(differences)).pvalue)
    return sign_flip_test(np.sign(differences) * stats.rankdata(np.abs(differences)))


def probability_above(margin: float, mean: float, sd: float, n: int) -> float:
    """The probability that the true mean difference exceeds a margin.

    The Bayesian t-test with the prior that says nothing: the true mean is distributed as mean +
    sd / sqrt(n) t, with n - 1 degrees of freedom. It is baycomp's correlated t-test (Benavoli et
    al., JMLR 18, 2017) at correlation 0, which is that of seeds with data splits of their own; one
    line needs no package. (autorank compares over many data sets, which there are not here.)

    Args:
        margin: the difference.
        mean: of n paired differences.
        sd: their sample standard deviation.
        n: their number; the result is NaN for fewer than 2, or without spread.
    """
    from scipy import stats

    if n < 2 or not sd > 0:
        return math.nan
    return float(stats.t.sf((margin - mean) / (sd / math.sqrt(n)), n - 1))


def friedman_test(ranks: np.ndarray) -> float:
    """The p of Friedman's test that all methods have the same mean rank.

    Args:
        ranks: or accuracies: blocks x methods; NaN for fewer than 3 methods or 2 blocks.
    """
    from scipy import stats

    n_blocks, n_methods = ranks.shape
    if n_methods < 3 or n_blocks < 2:
        return math.nan
    return float(stats.friedmanchisquare(*ranks.T).pvalue)


def critical_difference(n_methods: int, n_blocks: int) -> float:
    """The difference of mean ranks from which on Nemenyi's test tells two methods apart, at .05.

    Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, Eq. 4.

    Args:
        n_methods: k; NaN for fewer than 2.
        n_blocks: N; NaN for none.
    """
    from scipy import stats

    if n_methods < 2 or n_blocks < 1:
        return math.nan
    q = stats.studentized_range.ppf(1 - ALPHA, n_methods, math.inf) / math.sqrt(2)
    return float(q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks)))


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
