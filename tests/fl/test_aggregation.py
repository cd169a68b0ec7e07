"""Averages: equal models stay as they are, hand numbers, and coordinates that no sub-model has."""

import pytest
import torch
from helpers import same

from mosaic.fl.aggregation import average, average_parts, averages_of_parts
from mosaic.fl.models.live_network import initial_model, layout_of
from mosaic.fl.models.registry import MODELS
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.submodel import Window, cut, put, window

SPEC = {model: Spec(model, channels=1, n_classes=10, base_width=4) for model in MODELS}
CNN = SPEC["cnn"]
LAYOUT = layout_of(CNN)
WHOLE = window(CNN)


def model_of(seed: int) -> State:
    return initial_model(CNN, seed)


def window_at(width: float, shift: int = 0) -> Window:
    return window(Spec("cnn", 1, 10, 4, width), shift)


@pytest.mark.parametrize("model", MODELS)
def test_the_average_of_equal_models_is_that_model_to_the_last_bit(model):
    spec = SPEC[model]
    state = initial_model(spec, 0)
    weights = [1 / 3, 0.1, 7, 1e-3, 12345]
    mean = average([state] * 5, weights)
    mean_of_parts = average_parts(
        initial_model(spec, 1), [(state, window(spec))] * 5, weights, layout_of(spec)
    )
    assert same(state, mean, mean_of_parts)
    for name in state:
        assert mean[name].dtype == mean_of_parts[name].dtype == state[name].dtype


def test_an_average_by_hand():
    """(1 x [2, 4] + 3 x [6, 0]) / (1 + 3) = [20, 4] / 4."""
    mean = average([{"w": torch.tensor([2.0, 4.0])}, {"w": torch.tensor([6.0, 0.0])}], [1, 3])
    assert mean["w"].tolist() == [5.0, 1.0]


def test_models_are_taken_one_at_a_time_and_left_as_they_are():
    states = [{"w": torch.ones(2)}, {"w": torch.zeros(2)}]
    assert average(iter(states), [1, 1])["w"].tolist() == [0.5, 0.5]
    assert states[0]["w"].tolist() == [1, 1]
    assert states[1]["w"].tolist() == [0, 0]


def test_weights_that_sum_to_zero_or_are_too_many_are_an_error():
    with pytest.raises(ValueError, match="at least one must be positive"):
        average([{"w": torch.ones(1)}], [0])
    with pytest.raises(ValueError):
        average([{"w": torch.ones(1)}], [1, 2])


def test_with_full_windows_average_parts_is_average():
    states = [model_of(seed) for seed in range(4)]
    weights = [3, 1, 4, 1.5]
    parts = [(state, WHOLE) for state in states]
    assert same(average(states, weights), average_parts(model_of(9), parts, weights, LAYOUT))


def test_a_coordinate_that_no_sub_model_has_keeps_the_servers_value():
    server = model_of(0)
    channels = window_at(0.5, shift=3)
    part = cut(model_of(1), LAYOUT, channels)
    mean = average_parts(server, [(part, channels)], [5], LAYOUT)
    assert same(mean, put(server, part, LAYOUT, channels))


def test_a_client_of_weight_zero_does_not_count():
    server = model_of(0)
    assert same(average_parts(server, [(model_of(1), WHOLE)], [0], LAYOUT), server)


def test_several_averages_in_one_pass_are_each_the_single_one():
    server = model_of(0)
    windows = [window_at(1.0), window_at(0.5, shift=1), window_at(0.25, shift=3)]
    parts = [(cut(model_of(i + 1), LAYOUT, w), w) for i, w in enumerate(windows)]
    weights = [[1, 2, 3], [0, 5, 0.1], [0, 0, 0]]
    several = averages_of_parts(server, iter(parts), weights, LAYOUT)
    assert same(several, [average_parts(server, parts, w, LAYOUT) for w in weights])


def test_an_average_of_sub_models_by_hand():
    """The bias of the first layer's BatchNorm, 4 channels.

    Client A has channels 0 to 3, all of value 1 (weight 1); B has 2 and 3, of value 5 (weight 3).
    Channels 0, 1: 1. Channels 2, 3: (1 x 1 + 3 x 5) / 4 = 4.
    """
    half = window_at(0.5, shift=2)
    server = {name: torch.zeros_like(tensor) for name, tensor in model_of(0).items()}
    a = {name: torch.ones_like(tensor) for name, tensor in server.items()}
    b = {name: torch.full_like(tensor, 5.0) for name, tensor in cut(server, LAYOUT, half).items()}
    mean = average_parts(server, [(a, WHOLE), (b, half)], [1, 3], LAYOUT)
    assert mean["blocks.0.norm.bias"].tolist() == [1, 1, 4, 4]

    # All clients have all classes
    assert mean["linear.bias"].tolist() == [4.0] * 10

    # In the second layer B has rows 2 to 5 and columns 2 and 3
    second = mean["blocks.1.conv.weight"][:, :, 0, 0]
    assert second[2].tolist() == [1, 1, 4, 4]
    assert second[0].tolist() == [1, 1, 1, 1]
