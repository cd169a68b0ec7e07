"""Values as a user writes them, read in the type of the field that they are for.

The command line, TOML files, tuned settings and the Python API all read through `read_value`. It
is not pydantic's conversion, which takes true for 1 and 1 for true, or (strict) refuses the text
that a command line gives.
"""

import math
import numbers
import tomllib
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from mosaic.fl.errors import InputError


def read_value(what: str, kind: Any, value: Any, infinite: bool = False) -> Any:
    """A value in the type of its field.

    Args:
        what: how errors call it, e.g. "mosaic.lambda_d".
        kind: the field's type: bool, int, float, str, None, Literal, a union of these, or a list or
            tuple of them. For Any, a text that is a value of TOML, or one of Python's True and
            None, is that value.
        value: a text, as the command line has it, or a value of TOML or Python. A whole number may
            be written 3, 3.0 or 1e3. A boolean is no number, and a number no boolean.
        infinite: whether a float may be inf; nan is never possible, nor is a text that a float
            cannot hold, such as 1e400.

    Returns:
        The value; a whole number as int, and a number for a float field as float.

    Raises:
        InputError: if the value is not of this type.
    """
    try:
        return _read(kind, value, infinite)
    except (ValueError, OverflowError):
        raise InputError(f"{what} is {value!r}; it must be {_in_words(kind)}.") from None
    except TypeError:
        raise InputError(
            f"{what} cannot be given: its type is {kind}; possible are bool, int, float, str, "
            "None, Literal, and lists and tuples of these."
        ) from None


def whole_number(what: str, value: Any, least: int = 1) -> int:
    """A whole number that is not below ``least``.

    Raises:
        InputError: if it is something else.
    """
    try:
        number = _whole_number(value)
    except (ValueError, OverflowError):
        number = least - 1
    if number < least:
        raise InputError(f"{what} is {value!r}; it must be a whole number of at least {least}.")
    return number


def different(what: str, written: Sequence[Any], values: Sequence[Any] | None = None) -> None:
    """Check that a list has entries, and no two that are the same.

    Args:
        what: how errors call the list, e.g. "omega".
        written: the entries as the user wrote them.
        values: what they stand for; by default themselves.

    Raises:
        InputError: if the list is empty, or with the two entries that are the same.
    """
    if not written:
        raise InputError(f"{what} is an empty list; give at least one value.")

    first: list[tuple[Any, Any]] = []
    for text, value in zip(written, written if values is None else values, strict=True):
        for other_text, other in first:
            if other == value:
                raise InputError(_twice(what, str(other_text), str(text)))
        first.append((text, value))


def _twice(what: str, first: str, second: str) -> str:
    if first == second:
        return f"{what} has {first} twice; give it once."
    return f"{what} has {first} and {second}, which are the same; give one of them."


def _read(kind: Any, value: Any, infinite: bool) -> Any:
    """The value; ValueError if it is not of the kind, TypeError if there is no such kind."""
    if kind is Any:
        return _anything(value)
    if get_origin(kind) in (Union, UnionType):
        return _first_that_reads(get_args(kind), value, infinite)
    if get_origin(kind) is Literal:
        return _one_of(get_args(kind), value)
    if (get_origin(kind) or kind) in (list, tuple):
        return _sequence(kind, value, infinite)

    if kind is float:
        return _number(value, infinite)
    if kind not in READERS:
        raise TypeError
    return READERS[kind](value)


def _anything(value: Any) -> Any:
    """A value without a type: of a text what it is in TOML (3, true, [1, 2]) or Python (True).

    ValueError for nan and for what a record cannot hold, such as a date.
    """
    if isinstance(value, str):
        return _storable(_of_text(value))
    return _storable(value)


def _of_text(text: str) -> Any:
    for reader in (_nothing, _boolean, float):
        try:
            value = reader(text)
        except ValueError:
            continue
        return _real(text) if isinstance(value, float) else value
    return _toml(text)


def _toml(text: str) -> Any:
    """What the text is in TOML; the text itself if it is nothing there."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_storable(item) for item in value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return _number(value, infinite=True)


def _first_that_reads(kinds: Sequence[Any], value: Any, infinite: bool) -> Any:
    """The value in the first of several types that it has; text comes last."""
    for kind in sorted(kinds, key=lambda kind: kind is str):
        try:
            return _read(kind, value, infinite)
        except (ValueError, OverflowError):
            continue
    raise ValueError


def _one_of(possible: Sequence[Any], value: Any) -> Any:
    for choice in possible:
        if type(choice) is type(value) and choice == value:
            return choice
        if isinstance(value, str) and str(choice) == value:
            return choice
        in_toml = isinstance(choice, bool | None) and isinstance(value, str)
        if in_toml and str(choice).lower() == value.lower():
            return choice
    raise ValueError


def _sequence(kind: Any, value: Any, infinite: bool) -> Any:
    """A list or tuple; its text is that of TOML, "[1, 2]", or its parts with commas, "1,2"."""
    container = get_origin(kind) or kind
    if isinstance(value, str):
        value = _parts(value)
    if not isinstance(value, list | tuple):
        raise ValueError

    kinds = list(get_args(kind)) or [Any]
    if container is list or kinds[-1] is Ellipsis or not get_args(kind):
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError
    return container(_read(k, part, infinite) for k, part in zip(kinds, value, strict=True))


def _parts(text: str) -> Any:
    if text.startswith("["):
        return _toml(text)
    return [part.strip() for part in text.split(",")] if text else []


def _nothing(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.lower() == "none"):
        raise ValueError


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _number(value: Any, infinite: bool) -> float:
    number = float(_real(value))
    if math.isnan(number) or (math.isinf(number) and not infinite):
        raise ValueError
    return number


def _whole_number(value: Any) -> int:
    number = _real(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _real(value: Any) -> Any:
    """The number that a value is, or that its text ("3", "0x10", "1e3", "inf") stands for."""
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return _float(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError
    return value


def _float(text: str) -> float:
    """A float; ValueError for a text that would become inf (1e400) or 0 (1e-400) without saying."""
    number = float(text)
    digits = text.lower().partition("e")[0]
    if math.isinf(number) and "inf" not in text.lower():
        raise ValueError
    if number == 0 and any(character.isdecimal() and int(character) for character in digits):
        raise ValueError
    return number


READERS: dict[Any, Callable[[Any], Any]] = {
    NoneType: _nothing,
    bool: _boolean,
    int: _whole_number,
    str: _text,
}
"""How a value of each type is read; a float is read by `_number`, which takes a further argument.
"""

WORDS = {
    Any: "none, true or false, a number, a text, or a list or table of these",
    NoneType: "none",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
}


def _in_words(kind: Any) -> str:
    """A type as an error describes it: "a whole number, or none"."""
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return ", or ".join(_in_words(argument) for argument in arguments)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if (get_origin(kind) or kind) in (list, tuple):
        parts = [_in_words(part) for part in arguments if part is not Ellipsis]
        return f"a list, each entry {' then '.join(parts)}" if parts else "a list"
    return WORDS.get(kind, str(kind))
