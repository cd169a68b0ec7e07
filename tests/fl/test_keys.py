"""Keys: equal values give equal text, and fields added later leave older keys as they are."""

from dataclasses import dataclass

import pytest
import torch

from mosaic.fl.contract import added_later, choice, scaled_steps
from mosaic.fl.keys import canonical, stage_key
from mosaic.fl.task import Task


@dataclass(frozen=True)
class Recipe:
    size: int = 3
    scale: float = 1.0


def test_tuples_and_lists_are_the_same_in_a_key_and_so_is_any_order_of_names():
    one = canonical({"b": float("inf"), "a": (1, [Recipe()])})
    other = canonical({"a": [1, (Recipe(),)], "b": float("inf")})
    assert one == other


def test_only_configs_and_plain_values_can_be_in_a_key():
    with pytest.raises(TypeError, match="not Tensor"):
        canonical(torch.zeros(1))


def test_name_version_and_arguments_determine_a_stages_key():
    key = stage_key("train", 1, {"recipe": Recipe()})
    assert len(key) == 32
    assert key == stage_key("train", 1, {"recipe": Recipe(size=3)})
    assert key != stage_key("test", 1, {"recipe": Recipe()})
    assert key != stage_key("train", 2, {"recipe": Recipe()})
    assert key != stage_key("train", 1, {"recipe": Recipe(size=4)})


def test_a_field_added_later_leaves_older_keys_as_they_are():
    @dataclass(frozen=True)
    class Old:
        a: int = 1

    @dataclass(frozen=True)
    class New:
        a: int = 1
        b: float = added_later(0.5)

    assert canonical(New()).replace("New", "Old") == canonical(Old())
    assert canonical(New(b=0.25)) != canonical(New())


def test_a_choice_and_a_number_of_steps_are_in_the_key_at_their_defaults_too():
    @dataclass(frozen=True)
    class Config:
        student: str = choice("average", "random")
        steps: int = scaled_steps(10, "server")

    assert canonical(Config()) == '{"class":"Config","steps":10,"student":"average"}'


def test_a_whole_number_in_a_field_of_floats_has_the_key_of_the_float():
    assert canonical(Recipe(scale=1)) == canonical(Recipe(scale=1.0))
    assert canonical(Recipe(size=1)) != canonical(Recipe(size=1.0))  # type: ignore
    whole = Task(omega=1, n_clients=2, widths=(1, 0.5))
    assert whole == Task(omega=1.0, n_clients=2, widths=(1.0, 0.5))
    assert canonical(whole) == canonical(Task(omega=1.0, n_clients=2, widths=(1.0, 0.5)))
