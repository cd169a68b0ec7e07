"""The space that is searched: ranges, choices, and what is moved into it."""

from dataclasses import dataclass

import pytest
from oracle import METHODS_BEFORE, ORACLE, plan

from benchmarks.planning.methods import METHODS
from benchmarks.tuning.distributions import text_of, within
from benchmarks.tuning.space import space_of
from mosaic.fl.errors import InputError


def texts_of(space) -> dict[str, str]:
    return {key: text_of(distribution) for key, distribution in space.items()}


GIVEN = ["epochs=10:40", "latent=1:1000", "student=average,random", "batch=32,64"]


def test_ranges_are_of_the_fields_type_and_logarithmic_where_they_are_wide():
    assert texts_of(space_of("dense", GIVEN)) == {
        "weight_bn": "0.01:10.0:log",
        "weight_adv": "0.1:10.0:log",
        "synthesis_lr": "0.0001:0.01:log",
        "student_lr": "0.0001:0.1:log",
        "temperature": "1.0:20.0",
        "epochs": "10:40",
        "latent": "1:1000:log",
        "student": "average,random",
        "batch": "32,64",
    }


def test_the_scale_of_a_range_can_be_given():
    space = space_of("dense", ["temperature=1:2:log"], only=["temperature"])
    assert texts_of(space) == {"temperature": "1.0:2.0:log"}


def test_settings_with_a_fixed_value_are_left_out():
    fixed = {"weight_bn": 1, "weight_adv": 1, "synthesis_lr": 1e-3, "student_lr": 1}
    assert list(space_of("dense", fixed=fixed)) == ["temperature"]


def test_values_outside_the_space_become_the_nearest_inside():
    default = METHODS["dense"].Config().__dict__
    values = default | {"epochs": 200, "temperature": 0.5, "batch": 256}
    moved = within(space_of("dense", GIVEN), values)
    assert moved["epochs"] == 40
    assert moved["temperature"] == 1.0
    assert moved["batch"] == 64
    assert moved["student"] == "average"


@pytest.mark.parametrize("method", METHODS_BEFORE)
def test_every_methods_space_can_be_tuned_and_contains_its_defaults(method):
    if METHODS[method].SPACE:
        space = space_of(method)
        default = METHODS[method].Config()
        values = {key: getattr(default, key) for key in space}
        assert within(space, values) == values


LISTS = {
    "a list of texts": ("kind", ["good", "bad"], ("good", "bad")),
    "a tuple of texts": ("kind", ("good", "bad"), ("good", "bad")),
    "a list of two numbers is no range": ("a", [1, 3], (1.0, 3.0)),
    "numbers of the field's type": ("draw", [1, 2, 4.0], (1, 2, 4)),
    "a tuple of three numbers": ("b", (1, 10, 100), (1.0, 10.0, 100.0)),
    "a tuple of booleans is no range": ("peeks", (False, True), (False, True)),
    "equal choices count once": ("a", [1, 1.0, 3], (1.0, 3.0)),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_in_a_methods_space_is_its_choices(name, monkeypatch):
    key, values, choices = LISTS[name]
    monkeypatch.setattr(ORACLE, "SPACE", {key: values})
    distribution = space_of("oracle")[key]
    assert distribution.choices == choices
    assert [type(choice) for choice in distribution.choices] == [type(choice) for choice in choices]


def test_a_tuple_of_two_numbers_in_a_methods_space_is_a_range(monkeypatch):
    monkeypatch.setattr(ORACLE, "SPACE", {"a": (1, 3), "draw": (1, 200)})
    assert texts_of(space_of("oracle")) == {"a": "1.0:3.0", "draw": "1:200:log"}


WRONG = {
    "one choice": ({"kind": ["good"]}, "give at least two"),
    "a choice that the field does not have": ({"kind": ["good", "ugly"]}, "possible: good, bad"),
    "text for a number": ({"a": [1, "much"]}, "must be a finite number"),
    "text for a boolean": ({"peeks": [True, "maybe"]}, "must be true or false"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_list_of_choices_is_explained(name, monkeypatch):
    space, message = WRONG[name]
    monkeypatch.setattr(ORACLE, "SPACE", space)
    with pytest.raises(InputError, match=message):
        space_of("oracle")


@pytest.mark.parametrize("text", ["peeks=true,false", "peeks=True,False"])
def test_booleans_are_read_as_they_are_written_in_toml_and_in_python(text):
    assert space_of("oracle", [text])["peeks"].choices == (True, False)


def test_choices_of_a_methods_space_become_settings_of_cells_and_the_default_is_among_them(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(ORACLE, "SPACE", {"kind": ["bad", "good"], "a": [-1, 3]})
    choices = plan(tmp_path)
    assert choices.default() == {"kind": "good", "a": 0.0}
    assert choices.first() == {"kind": "good", "a": -1.0}  # 0 is nearer to -1 than to 3
    cells = choices.cells({"kind": "bad", "a": 3.0})
    assert [(cell.config.kind, cell.config.a) for cell in cells] == [("bad", 3.0)] * 2


def test_a_list_cannot_be_tuned(monkeypatch):
    @dataclass(frozen=True)
    class Config:
        widths: tuple[int, ...] = (1, 2)

    monkeypatch.setattr(METHODS["oracle"], "Config", Config)
    monkeypatch.setattr(METHODS["oracle"], "SPACE", {})
    with pytest.raises(InputError, match="oracle.widths is a list"):
        space_of("oracle", ["widths=1,2"])
