"""Which settings of a method are tuned, and over which values: its SPACE and the option --space."""

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.planning.methods import known_method
from benchmarks.planning.settings import checked
from benchmarks.tuning.distributions import Distribution, Range, Space
from mosaic.fl.errors import InputError, did_you_mean

LOG_FROM = 100  # a range whose ends differ by this factor or more is searched on a log scale


def space_of(
    method: str,
    given: Sequence[str] = (),
    only: Collection[str] | None = None,
    fixed: Collection[str] = (),
) -> Space:
    """The space of a study: the method's SPACE, changed by the options of the command.

    Args:
        method: A name in METHODS.
        given: Texts of --space, "KEY=LOW:HIGH" or "KEY=A,B,C". They replace or extend SPACE.
        only: Keys of --only; all others are left out. None: all keys stay.
        fixed: Keys that have a value from --set. They are left out.

    Raises:
        InputError: For an unknown key, a wrong range, a key that is both given and fixed, or if
            nothing is left to tune.
    """
    space: Space = {}
    for key, values in known_method(method).SPACE.items():
        space[key] = _from_module(method, key, values)

    added = {}
    for text in given:
        key, distribution = _from_text(method, text)
        if key in added:
            raise InputError(f"--space has {key} twice; give one range, or one list of choices.")
        added[key] = distribution
    contradictions = [key for key in added if key in fixed]
    if contradictions:
        raise InputError(
            f"{method}.{contradictions[0]} is both set and in the space; "
            "give it to --set or to --space."
        )
    space |= added

    if only is None:
        only = space.keys()
    unknown = [key for key in only if key not in space]
    if unknown and space:
        raise did_you_mean(f"key of {method}'s space", unknown[0], space)

    space = {key: space[key] for key in space if key in only and key not in fixed}
    if not space:
        raise _nothing_to_tune(method)
    return space


def _nothing_to_tune(method: str) -> InputError:
    fields = [field.name for field in dataclasses.fields(known_method(method).Config)]
    if not fields:
        return InputError(
            f"{method} has no settings, so there is nothing to tune; choose another method."
        )
    return InputError(
        f"the space of {method} is empty; give --space KEY=LOW:HIGH for some of its settings: "
        f"{', '.join(fields)}."
    )


def _from_module(method: str, key: str, values: Sequence[Any]) -> Distribution:
    """An entry of SPACE. A tuple of two numbers is a range; anything else is a list of choices."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if isinstance(values, tuple) and len(values) == 2 and numbers:
        low, high = values
        return _range(method, key, low, high)
    return _choices(method, key, values)


def _from_text(method: str, text: str) -> tuple[str, Distribution]:
    """The key and the distribution of one --space."""
    key, _, value = (part.strip() for part in text.partition("="))
    if not (key and value):
        raise InputError(f"--space {text!r} is not KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C.")
    if ":" not in value:
        return key, _choices(method, key, [part.strip() for part in value.split(",")])

    low, high, *scale = value.split(":")
    if not scale:
        return key, _range(method, key, low, high)
    if scale not in (["log"], ["linear"]):
        raise InputError(
            f"--space {text!r}: after the range comes log or linear, not {':'.join(scale)!r}."
        )
    return key, _range(method, key, low, high, log=scale == ["log"])


def _range(method: str, key: str, low: Any, high: Any, log: bool | None = None) -> Range:
    """A range of a numeric setting; its type is that of the setting's field.

    Args:
        method: A name in METHODS.
        key: The setting.
        low: Smallest value, a number or its text.
        high: Largest value, a number or its text.
        log: Whether it is searched on a log scale. None: decided by the ratio of its ends.
    """
    config = known_method(method).Config
    name = f"{method}.{key}"
    low = checked(name, config, key, low)
    high = checked(name, config, key, high)

    if isinstance(low, bool) or not isinstance(low, int | float):
        raise InputError(f"{name} is no number; give its choices instead, --space {key}=A,B.")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"the range of {name} is {low:g}:{high:g}; it must run from a lower to a higher number."
        )
    wide = low > 0 and high / low >= LOG_FROM
    on_log_scale = wide if log is None else log
    if on_log_scale and low <= 0:
        raise InputError(
            f"the range of {name} is {low:g}:{high:g}; on a log scale it must begin above 0."
        )
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=on_log_scale)
    return FloatDistribution(low, high, log=on_log_scale)


def _choices(method: str, key: str, values: Sequence[Any]) -> CategoricalDistribution:
    """Two or more values of a setting, each of the type of its field; equal ones count once."""
    config = known_method(method).Config
    name = f"{method}.{key}"
    values = [checked(name, config, key, value) for value in values]
    if any(isinstance(value, list | tuple | dict) for value in values):
        raise InputError(
            f"{name} is a list; numbers, texts, true and false can be tuned: --set it."
        )
    if len(set(values)) < 2:
        raise InputError(
            f"the choices of {name} are {', '.join(map(str, values))}; "
            "give at least two, or --set it."
        )
    return CategoricalDistribution(list(dict.fromkeys(values)))
