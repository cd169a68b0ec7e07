"""A stage's costs are charged in full to each method that uses it, and once."""

import time

import pytest
from example_stages import Config, call, model, weights

from mosaic.fl.cache import stage
from mosaic.fl.costs import Account, opened


def test_costs_are_charged_also_when_a_result_is_read_and_for_nested_stages_too(store):
    """The weights are 3 float32, 12 bytes; the parts are these, 3 int64 and one float32: 40."""
    computed = call(model, Config())[1]
    read = call(model, Config())[1]
    assert computed.staged().upload == read.staged().upload == {"weights": 12, "parts": 40}
    assert computed.staged().seconds == read.staged().seconds >= 0.01
    assert computed.own.upload == read.own.upload == {}


def test_a_stage_that_is_used_twice_is_charged_once(store):
    with opened(Account()) as account:
        for _ in range(3):
            model(Config())
            weights(Config())
    assert account.total().upload == {"weights": 12, "parts": 40}
    assert len(account.stages) == 2


def test_a_stage_is_charged_its_own_seconds_and_the_caller_none_of_them(store):
    @stage(version=1)
    def slow() -> int:
        time.sleep(0.2)
        return 1

    for _ in range(2):
        account = call(slow)[1]
        assert account.own.seconds < 0.1
        assert 0.2 <= account.staged().seconds == account.total().seconds - account.own.seconds


def test_the_seconds_of_a_nested_stage_are_not_counted_twice(store):
    @stage(version=1)
    def inner() -> int:
        time.sleep(0.2)
        return 1

    @stage(version=1)
    def outer() -> int:
        return inner()

    account = call(outer)[1]
    assert 0.2 <= account.staged().seconds < 0.35


def test_a_stage_that_fails_is_charged_only_when_it_succeeds(store):
    attempts = []

    @stage(version=1)
    def fails_once() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise FloatingPointError("no")
        return 1

    with opened(Account()) as account:
        with pytest.raises(FloatingPointError):
            fails_once()
        assert fails_once() == 1
    assert len(account.stages) == 1
