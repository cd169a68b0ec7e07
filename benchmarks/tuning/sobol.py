"""Trials that cover a space evenly: the points of a scrambled Sobol sequence.

A model of earlier trials (TPE) needs about ten of them before it is better than chance. With fewer
trials in all, points that are spread evenly find more. They depend on nothing but their number, so
methods with equally many settings get the same points of the unit cube.

Where all settings are choices, the trials go through their combinations instead: a few points leave
some of them out.
"""

import math
from itertools import product
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution
from scipy.stats import qmc

from benchmarks.tuning.distributions import Distribution
from benchmarks.tuning.plan import Plan
from mosaic.fl.rng import seed_of

DIGITS = 3
"""Significant digits of a number that is drawn: as many as a person would write."""


def sobol_point(plan: Plan, ordinal: int) -> dict[str, Any]:
    """The settings of a trial.

    Where a setting is a number, costly settings are those of the default in the first ``plan.hold``
    trials, and change with every ``plan.hold`` further ones, which share their stages.

    Args:
        plan: The study's plan.
        ordinal: The trial's number; 0 is the default.
    """
    if all_choices(plan):
        return _combination(plan, ordinal)
    first = plan.first()
    if ordinal == 0:
        return first
    cheap = [key for key in plan.space if key not in plan.costly]
    point = _drawn(plan, cheap, "cheap", ordinal - 1)
    group = ordinal // plan.hold
    if group == 0:
        point |= {key: first[key] for key in plan.costly}
    else:
        point |= _drawn(plan, plan.costly, "costly", group - 1)
    return {key: point[key] for key in plan.space}


def all_choices(plan: Plan) -> bool:
    """Whether no setting is a number."""
    return all(isinstance(values, CategoricalDistribution) for values in plan.space.values())


def _combination(plan: Plan, ordinal: int) -> dict[str, Any]:
    """The settings of a trial where all are choices: the default, the others in random order."""
    first = plan.first()
    distributions = plan.space.values()
    choices = [v.choices for v in distributions if isinstance(v, CategoricalDistribution)]
    points = [dict(zip(plan.space, values, strict=True)) for values in product(*choices)]
    others = [point for point in points if point != first]
    order = np.random.default_rng(seed_of(plan.seed, "combinations")).permutation(len(others))
    in_turn = [first, *(others[i] for i in order)]
    return in_turn[ordinal % len(in_turn)]


def _drawn(plan: Plan, keys: tuple[str, ...] | list[str], what: str, i: int) -> dict[str, Any]:
    """The i-th point of the sequence over some of the settings."""
    if not keys:
        return {}
    seed = np.random.default_rng(seed_of(plan.seed, "sobol", what))
    # The name before SciPy 1.15, which later versions take too
    sequence = qmc.Sobol(len(keys), scramble=True, seed=seed)  # pyright: ignore[reportCallIssue]
    shares = sequence.random_base2(i.bit_length())[i]
    return {key: value_at(plan.space[key], u) for key, u in zip(keys, shares, strict=True)}


def value_at(distribution: Distribution, share: float) -> Any:
    """The value of a setting that a share in [0, 1) of its distribution lies below."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]

    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        high += 1
    value = low * (high / low) ** share if distribution.log else low + (high - low) * share
    if isinstance(distribution, IntDistribution):
        return math.floor(value)
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
