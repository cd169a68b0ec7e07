"""The space of a study: which settings of a method are tuned, and in which ranges; and how a setting is written."""

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any, get_type_hints

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from benchmarks.planning.methods import known_method
from benchmarks.planning.settings import checked
from mosaic.fl.errors import InputError, did_you_mean

LOG_FROM = 100  # a range whose ends differ by this factor or more is searched on a log scale

Space = dict[str, BaseDistribution]


def space_of(
    method: str, given: Sequence[str] = (), only: Sequence[str] | None = None, fixed: Any = ()
) -> Space:
    """The method's SPACE, with the ranges of ``given`` ("KEY=LOW:HIGH", "KEY=A,B,C") in place of its own.

    ``only`` keeps these keys; ``fixed`` ones, which have a value already, are left out. Raises InputError for unknown
    keys, for wrong ranges and where nothing is left.
    """
    module = known_method(method)
    space = {key: _from_module(method, key, ends) for key, ends in module.SPACE.items()}
    added = dict(_from_text(method, text) for text in given)
    for key in set(added) & set(fixed):
        raise InputError(
            f"{method}.{key} is both set and in the space; give it to --set or to --space."
        )
    space |= added
    for key in only or ():
        if key not in space:
            raise (
                did_you_mean(f"key of {method}'s space", key, space) if space else _nothing(method)
            )
    space = {key: space[key] for key in space if key not in fixed and (only is None or key in only)}
    if not space:
        raise _nothing(method)
    return space


def _nothing(method: str) -> InputError:
    fields = ", ".join(f.name for f in dataclasses.fields(known_method(method).Config))
    if not fields:
        return InputError(
            f"{method} has no settings, so there is nothing to tune; choose another method."
        )
    return InputError(
        f"the space of {method} is empty; give --space KEY=LOW:HIGH for some of its settings: {fields}."
    )


def _from_module(method: str, key: str, ends: Sequence[Any]) -> BaseDistribution:
    """A pair of numbers is a range; anything else is a list of choices."""
    numbers = (
        isinstance(ends, tuple)
        and len(ends) == 2
        and all(isinstance(end, int | float) for end in ends)
    )
    return _range(method, key, *ends) if numbers else _choices(method, key, ends)


def _from_text(method: str, text: str) -> tuple[str, BaseDistribution]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and value):
        raise InputError(f"--space {text!r} is not KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C.")
    if ":" not in value:
        return key, _choices(method, key, [part.strip() for part in value.split(",")])
    low, high, *scale = value.split(":")
    if scale and scale not in (["log"], ["linear"]):
        raise InputError(
            f"--space {text!r}: after the range comes log or linear, not {':'.join(scale)!r}."
        )
    return key, _range(method, key, low, high, scale == ["log"] if scale else None)


def _range(method: str, key: str, low: Any, high: Any, log: bool | None = None) -> BaseDistribution:
    config, what = known_method(method).Config, f"{method}.{key}"
    low, high = checked(what, config, key, low), checked(what, config, key, high)
    kind = get_type_hints(config)[key]
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise InputError(f"{what} is no number; give its choices instead, --space {key}=A,B.")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"the range of {what} is {low:g}:{high:g}; it must run from a lower to a higher number."
        )
    log = (low > 0 and high / low >= LOG_FROM) if log is None else log
    if log and low <= 0:
        raise InputError(
            f"the range of {what} is {low:g}:{high:g}; on a log scale it must begin above 0."
        )
    return (
        FloatDistribution(low, high, log=log)
        if kind is float
        else IntDistribution(low, high, log=log)
    )


def _choices(method: str, key: str, values: Sequence[Any]) -> BaseDistribution:
    config, what = known_method(method).Config, f"{method}.{key}"
    values = [checked(what, config, key, _boolean(config, key, value)) for value in values]
    if len(set(values)) < 2:
        raise InputError(
            f"the choices of {what} are {', '.join(map(str, values))}; give at least two, or --set it."
        )
    return CategoricalDistribution(list(dict.fromkeys(values)))


def _boolean(config: type, key: str, value: Any) -> Any:
    return (
        {"true": True, "false": False}.get(value, value)
        if get_type_hints(config).get(key) is bool
        else value
    )


def text_of(distribution: BaseDistribution) -> str:
    """A range as --space takes it: "2.0:10.0", "1e-05:0.01:log", "meta,source"."""
    if isinstance(distribution, CategoricalDistribution):
        return ",".join(map(str, distribution.choices))
    return f"{distribution.low!r}:{distribution.high!r}" + ":log" * distribution.log


def within(space: Space, values: dict[str, Any]) -> dict[str, Any]:
    """The values of the space's keys; of numbers that lie outside the nearest inside, of other choices the first."""
    return {key: _nearest(distribution, values[key]) for key, distribution in space.items()}


def _nearest(distribution: BaseDistribution, value: Any) -> Any:
    if not isinstance(distribution, CategoricalDistribution):
        return min(max(value, distribution.low), distribution.high)
    if value in distribution.choices or not isinstance(value, int | float):
        return value if value in distribution.choices else distribution.choices[0]
    return min(distribution.choices, key=lambda choice: abs(choice - value))


def another(distribution: BaseDistribution, value: Any) -> Any:
    """Some value of the distribution that is not this one."""
    choices = isinstance(distribution, CategoricalDistribution)
    possible = distribution.choices if choices else (distribution.low, distribution.high)
    return next(other for other in possible if other != value)


def grid_of(space: Space, points: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """All points of a grid, ``points`` a range and each choice, in random order: a part of them covers the space."""
    axes = [_ticks(distribution, points) for distribution in space.values()]
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]
    return [grid[i] for i in rng.permutation(len(grid))]


def _ticks(distribution: BaseDistribution, points: int) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    spread = np.geomspace if distribution.log else np.linspace
    ticks = [float(tick) for tick in spread(distribution.low, distribution.high, points)]
    ticks[0], ticks[-1] = distribution.low, distribution.high  # geomspace rounds
    return (
        list(dict.fromkeys(map(round, ticks)))
        if isinstance(distribution, IntDistribution)
        else ticks
    )


def toml_of(method: str, values: dict[str, Any], comments: Sequence[str] = ()) -> str:
    """A file for ``benchmarks.run --params``: comments, then [method] and its settings."""
    lines = [f"# {line}" for line in comments] + [f"[{method}]"]
    return "\n".join(
        [*lines, *(f"{key} = {_toml_value(value)}" for key, value in values.items()), ""]
    )


def _toml_value(value: Any) -> str:
    return (
        repr(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else json.dumps(value)
    )
