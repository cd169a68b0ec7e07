"""Operations on a space of settings: its distributions as text, points inside it, and grids."""

import itertools
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

Range = FloatDistribution | IntDistribution
Distribution = Range | CategoricalDistribution
Space = dict[str, Distribution]
"""The distribution of each tuned setting, by its key."""


def text_of(distribution: Distribution) -> str:
    """A distribution as --space takes it: "2.0:10.0", "1e-05:0.01:log", "meta,source"."""
    if isinstance(distribution, CategoricalDistribution):
        return ",".join(map(str, distribution.choices))
    text = f"{distribution.low!r}:{distribution.high!r}"
    return f"{text}:log" if distribution.log else text


def within(space: Space, values: dict[str, Any]) -> dict[str, Any]:
    """The point of the space that is nearest to ``values``.

    Args:
        space: The tuned settings.
        values: A value for each key of the space, possibly outside it.

    Returns:
        A value for each key. Numbers outside become the nearest number inside; other values that
        are not among the choices become the first choice.
    """
    return {key: _nearest(distribution, values[key]) for key, distribution in space.items()}


def _nearest(distribution: Distribution, value: Any) -> Any:
    if not isinstance(distribution, CategoricalDistribution):
        return min(max(value, distribution.low), distribution.high)
    if value in distribution.choices:
        return value
    if not isinstance(value, int | float):
        return distribution.choices[0]

    def distance(choice: Any) -> float:
        return abs(choice - value)

    return min(distribution.choices, key=distance)


def has_values(params: dict[str, Any], space: Space) -> bool:
    """Whether each setting of the space has a value, inside it."""
    if not params.keys() >= space.keys():
        return False
    try:
        return all(_nearest(space[key], params[key]) == params[key] for key in space)
    except TypeError:  # text where a number belongs
        return False


def another(distribution: Distribution, value: Any) -> Any:
    """Some value of the distribution that differs from ``value``."""
    possible = (
        distribution.choices
        if isinstance(distribution, CategoricalDistribution)
        else (distribution.low, distribution.high)
    )
    return next(other for other in possible if other != value)


def grid_of(space: Space, points: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """All points of a grid over the space, in random order, so that any part of them covers it.

    Args:
        space: The tuned settings.
        points: How many values of each range; choices are all in the grid.
        rng: Decides the order.
    """
    axes = [_ticks(distribution, points) for distribution in space.values()]
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]
    return [grid[i] for i in rng.permutation(len(grid))]


def _ticks(distribution: Distribution, points: int) -> list[Any]:
    """The values of one setting in a grid."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)

    spread = np.geomspace if distribution.log else np.linspace
    ticks = [float(tick) for tick in spread(distribution.low, distribution.high, points)]
    # geomspace rounds, and a value outside the range would be refused.
    ticks[0] = distribution.low
    ticks[-1] = distribution.high

    if isinstance(distribution, IntDistribution):
        return list(dict.fromkeys(map(round, ticks)))
    return ticks
