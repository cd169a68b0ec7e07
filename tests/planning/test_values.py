"""A setting is what was written: its value is one of its field's type, or an error."""

import math
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np
import pytest

from benchmarks.planning.settings import checked
from benchmarks.planning.values import different, read_value, whole_number
from mosaic.fl.contract import choice
from mosaic.fl.errors import InputError

READ = [
    (int, "3", 3),
    (int, "1e3", 1000),
    (int, 3.0, 3),
    (int, "0x10", 16),
    (int, "1_000", 1000),
    (int, "03", 3),
    (int, "9007199254740993", 2**53 + 1),
    (int, np.int64(4), 4),
    (float, 1, 1.0),
    (float, "1e-2", 0.01),
    (float, np.float32(0.5), 0.5),
    (bool, "true", True),
    (bool, "False", False),
    (bool, False, False),
    (str, "gate", "gate"),
    (str, "1e3", "1e3"),
    (str, "true", "true"),
    (int | None, "none", None),
    (int | None, None, None),
    (int | None, "500", 500),
    (str | None, "none", None),
    (float | str, "0.5", 0.5),
    (float | str, "fast", "fast"),
    (bool | int, True, True),
    (bool | int, "1", 1),
    (Literal["a", 1], "a", "a"),
    (Literal["a", 1], "1", 1),
    (tuple[float, ...], "1,0.5", (1.0, 0.5)),
    (tuple[float, ...], "[1, 0.5]", (1.0, 0.5)),
    (tuple[float, ...], [1, 0.5], (1.0, 0.5)),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[float, ...], [], ()),
    (list[int], (1, 2.0), [1, 2]),
    (list, [1, "a"], [1, "a"]),
    (Any, "3", 3),
    (Any, "text", "text"),
    (Any, "False", False),
    (Any, "none", None),
    (Any, "5.", 5.0),
    (Any, "0x10", 16),
    (Any, {"a": [np.int64(1)]}, {"a": [1]}),
    (Literal[True, None], "true", True),
    (Literal[True, None], "none", None),
    (list[str], [" a "], [" a "]),
    (list[str], "a, b", ["a", "b"]),
    (float, "0e5", 0.0),
]


@pytest.mark.parametrize("kind, given, value", READ)
def test_a_value_is_read_in_the_type_of_its_field(kind, given, value):
    read = read_value("x", kind, given)
    assert read == value
    assert type(read) is type(value)


REFUSED = [
    (int, True, "x is True; it must be a whole number."),
    (int, "true", "x is 'true'; it must be a whole number."),
    (int, 2.5, "x is 2.5; it must be a whole number."),
    (int, "", "x is ''; it must be a whole number."),
    (int, "inf", "it must be a whole number"),
    (int, math.nan, "it must be a whole number"),
    (int, [3], "x is [3]; it must be a whole number."),
    (int, None, "x is None; it must be a whole number."),
    (float, True, "x is True; it must be a finite number."),
    (float, "much", "it must be a finite number"),
    (float, math.nan, "x is nan; it must be a finite number."),
    (float, "inf", "x is 'inf'; it must be a finite number."),
    (bool, 1, "x is 1; it must be true or false."),
    (bool, "0", "x is '0'; it must be true or false."),
    (bool, "yes", "it must be true or false"),
    (str, 3, "x is 3; it must be a text."),
    (str, True, "x is True; it must be a text."),
    (int | None, True, "it must be a whole number, or none"),
    (Literal["a", 1], True, "it must be one of a, 1"),
    (tuple[float, ...], [1, True], "x is [1, True]; it must be a list, each entry a finite number"),
    (tuple[float, ...], 1, "it must be a list"),
    (tuple[int, str], [1], "it must be a list, each entry a whole number then a text"),
    (dict, {}, "cannot be given: its type is <class 'dict'>; possible are bool, int"),
]


@pytest.mark.parametrize("kind, given, message", REFUSED)
def test_a_value_of_another_type_is_refused(kind, given, message):
    with pytest.raises(InputError) as error:
        read_value("x", kind, given)
    assert message in str(error.value)


@dataclass(frozen=True)
class Config:
    """Settings of a user's method, with the types that such settings have."""

    endless: float = math.inf
    rate: float = 0.1
    on: bool = False
    law: str = choice("linear", "gate")
    sizes: tuple[int, ...] = ()
    made: int = field(default=3, init=False)


@pytest.mark.parametrize("kind", [int, float, float | None, Any, list[float]])
@pytest.mark.parametrize("given", ["1e400", "-1e400", "1e-400"])
def test_a_number_that_a_float_cannot_hold_does_not_become_another_one(kind, given):
    with pytest.raises(InputError, match=given):
        read_value("x", kind, given, infinite=True)


@pytest.mark.parametrize("given", [date(2024, 1, 1), math.nan, "2024-01-01", "nan", [b"x"], 1j])
def test_what_a_record_cannot_hold_is_refused_for_any_type(given):
    with pytest.raises(InputError, match="x is .* must be none, true or false, a number"):
        read_value("x", Any, given)


def test_a_float_may_be_infinite_where_its_default_is():
    assert checked("mine.endless", Config, "endless", "inf") == math.inf
    with pytest.raises(InputError, match="mine.rate is 'inf'; it must be a finite number"):
        checked("mine.rate", Config, "rate", "inf")
    with pytest.raises(InputError, match="mine.endless is nan"):
        checked("mine.endless", Config, "endless", math.nan)


@pytest.mark.parametrize(
    "name, given, message",
    [
        ("on", 1, "mine.on is 1; it must be true or false"),
        ("law", "gat", r"mine.law is 'gat'; possible: linear, gate. Did you mean 'gate'\?"),
        ("law", 3, "mine.law is 3; it must be a text"),
        ("sizes", "1,x", "mine.sizes is '1,x'; it must be a list, each entry a whole number"),
        ("size", 1, r"unknown setting of mine 'size'; did you mean 'sizes'\?"),
        ("made", 1, "unknown setting of mine 'made'"),
    ],
)
def test_the_settings_of_a_users_method_are_checked_like_all_others(name, given, message):
    with pytest.raises(InputError, match=message):
        checked(f"mine.{name}", Config, name, given)


@pytest.mark.parametrize("given", [0, "0", "x", True, 1.5, "²", -1, math.inf])
def test_a_count_is_a_whole_number_of_at_least_one(given):
    with pytest.raises(InputError, match="n is .*; it must be a whole number of at least 1"):
        whole_number("n", given)


def test_what_was_given_twice_is_named_as_it_was_written():
    different("omega", ["0.1", "1"], [0.1, 1.0])
    with pytest.raises(InputError, match="omega has 0.1 and 1e-1, which are the same"):
        different("omega", ["1", "0.1", "1e-1"], [1.0, 0.1, 0.1])
    with pytest.raises(InputError, match="methods has fedavg twice; give it once"):
        different("methods", ["fedavg", "fedavg"])
    with pytest.raises(InputError, match="omega is an empty list"):
        different("omega", [])
