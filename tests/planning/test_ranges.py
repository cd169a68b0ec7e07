"""Numbers of this package's methods that mean nothing are refused before a cell runs."""

import dataclasses

import pytest

from benchmarks.planning.methods import METHODS
from benchmarks.planning.settings import checked, configure
from benchmarks.tuning.space import space_of
from mosaic.fl.errors import InputError

NUMBERS = []
for _method, _module in METHODS.items():
    for _field in dataclasses.fields(_module.Config):
        if isinstance(_field.default, int | float):
            NUMBERS.append((_method, _field.name))


def test_no_number_of_any_method_can_be_negative():
    for method, name in NUMBERS:
        with pytest.raises(InputError, match=rf"{method}.{name} is -1.*; (it must be|possible: )"):
            checked(f"{method}.{name}", METHODS[method].Config, name, "-1")


def test_every_default_can_be_given():
    for method, name in NUMBERS:
        config = METHODS[method].Config
        default = getattr(config(), name)
        assert checked(f"{method}.{name}", config, name, default) == default


@pytest.mark.parametrize(
    "method, name, value, message",
    [
        ("mosaic", "k", 0, "mosaic.k is 0; it must be at least 1"),
        ("feddf", "batch", 0, "at least 1"),
        ("dense", "latent", 0, "at least 1"),
        ("fedcvae", "cvae_hidden", 0, "at least 1"),
        ("coboosting", "perturb_temperature", 0, "perturb_temperature is 0.0; it must be above 0"),
        ("mosaic_feedback", "rare", 1.5, r"it is a share, in \[0, 1\]"),
        ("dfrd", "ema", 1.5, r"it is the weight of the past, in \[0, 1\)"),
        ("mosaic", "ema", 1, r"mosaic.ema is 1.0; it is the weight of the past, in \[0, 1\)"),
        ("sda_fl", "ema", 1, "it is the weight of the past"),
        ("mosaic", "judge_every", 0, "mosaic.judge_every is 0; it must be at least 1"),
    ],
)
def test_sizes_divisors_and_shares_have_their_ranges(method, name, value, message):
    with pytest.raises(InputError, match=message):
        configure(method, {name: value})


@pytest.mark.parametrize(
    "method, name", [("mosaic", "tau"), ("fedftg", "turns"), ("fedprox", "mu")]
)
def test_what_can_be_switched_off_can_be_zero(method, name):
    assert checked(name, METHODS[method].Config, name, 0) == 0


def test_a_space_has_no_value_that_a_setting_cannot_have():
    with pytest.raises(InputError, match="mosaic.k is -3"):
        space_of("mosaic", ["k=-3:5"])


def test_a_users_method_has_its_own_rules():
    @dataclasses.dataclass(frozen=True)
    class Config:
        batch: int = 3

    assert checked("own.batch", Config, "batch", -3) == -3
