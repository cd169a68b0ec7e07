"""Functional analysis of variance on a full grid: the share of a variance that is each setting's.

On a full grid the decomposition is exact (Hooker, 2007; Hutter et al., ICML 2014): the component of
a set of factors is the mean over all others, less the components of its subsets. Their variances
add up to the whole.
"""

import itertools
import math

import numpy as np
import pandas as pd

Term = tuple[str, ...]
"""The names of the factors of a component: one for a main effect, more for an interaction."""


def components(points: pd.DataFrame, factors: list[str], value: str) -> dict[Term, float]:
    """The variance of each component.

    Args:
        points: a row per point of the grid; each combination of the factors' values once.
        factors: columns.
        value: the column that varies.

    Returns:
        A variance for each set of factors, in the order of their number. Their sum is the variance
        (ddof 0) of the column.

    Raises:
        ValueError: the grid is not full.
    """
    levels = [len(set(points[factor])) for factor in factors]
    if len(points) != math.prod(levels) or points.duplicated(factors).any():
        raise ValueError(f"{len(points)} points are no full grid of {levels} values")

    ordered = points.sort_values(factors)
    effects: dict[Term, np.ndarray] = {(): np.array(ordered[value].to_numpy(float).mean())}
    values = ordered[value].to_numpy(float).reshape(levels)
    for size in range(1, len(factors) + 1):
        for term in itertools.combinations(factors, size):
            others = tuple(i for i, factor in enumerate(factors) if factor not in term)
            effect = values.mean(axis=others, keepdims=True)
            for subset, known in effects.items():
                if set(subset) < set(term):
                    effect = effect - known
            effects[term] = effect
    return {term: float(np.square(effect).mean()) for term, effect in effects.items() if term}


def f_test(variance: float, error: float, levels: list[int], n_repeats: int) -> float:
    """The p of a component against its interaction with the repeats.

    Args:
        variance: of the component.
        error: of its interaction with the repeated factor.
        levels: the numbers of values of the component's factors.
        n_repeats: the number of values of the repeated factor, such as seeds.

    Returns:
        NaN for one repeat, or without any error.
    """
    from scipy import stats

    if n_repeats < 2 or error <= 0:
        return math.nan
    freedom = math.prod(n - 1 for n in levels)
    if not freedom:
        return math.nan
    f = variance * (n_repeats - 1) / error
    return float(stats.f.sf(f, freedom, freedom * (n_repeats - 1)))
