"""Averages: equal models stay what they are, hand numbers, and coordinates that nobody covers."""

import pytest
import torch

from mosaic.fl.aggregation import average, average_parts
from mosaic.fl.models.live_network import initial_model, layout_of
from mosaic.fl.models.registry import MODELS
from mosaic.fl.models.spec import Spec
from mosaic.fl.submodel import cut, put, window

SPEC = {model: Spec(model, channels=1, n_classes=10, base_width=4) for model in MODELS}


def narrow(width: float, shift: int = 0):
    return window(Spec("cnn", 1, 10, 4, width), shift)


@pytest.mark.parametrize("model", MODELS)
def test_averaging_equal_models_is_the_identity_to_the_last_bit(model):
    state, weights = initial_model(SPEC[model], 0), [1 / 3, 0.1, 7, 1e-3, 12345]
    whole = window(SPEC[model])
    mean = average([state] * 5, weights)
    by_part = average_parts(
        initial_model(SPEC[model], 1), [(state, whole)] * 5, weights, layout_of(SPEC[model])
    )
    for name in state:
        assert torch.equal(mean[name], state[name]) and torch.equal(by_part[name], state[name]), (
            name
        )
        assert mean[name].dtype == state[name].dtype


def test_hand_numbers():
    """(1 x [2, 4] + 3 x [6, 0]) / (1 + 3) = [20, 4] / 4."""
    mean = average([{"w": torch.tensor([2.0, 4.0])}, {"w": torch.tensor([6.0, 0.0])}], [1, 3])
    assert mean["w"].tolist() == [5.0, 1.0]


def test_models_are_taken_one_at_a_time_and_left_as_they_are():
    states = [{"w": torch.ones(2)}, {"w": torch.zeros(2)}]
    assert average(iter(states), [1, 1])["w"].tolist() == [0.5, 0.5]
    assert states[0]["w"].tolist() == [1, 1] and states[1]["w"].tolist() == [0, 0]


def test_an_average_of_nothing_or_of_mismatched_lengths_is_an_error():
    with pytest.raises(ValueError, match="at least one must be positive"):
        average([{"w": torch.ones(1)}], [0])
    with pytest.raises(ValueError):
        average([{"w": torch.ones(1)}], [1, 2])


def test_full_windows_make_average_parts_the_average():
    states, weights = [initial_model(SPEC["cnn"], seed) for seed in range(4)], [3, 1, 4, 1.5]
    whole = window(SPEC["cnn"])
    mean = average(states, weights)
    by_part = average_parts(
        initial_model(SPEC["cnn"], 9), [(s, whole) for s in states], weights, layout_of(SPEC["cnn"])
    )
    assert all(torch.equal(mean[name], by_part[name]) for name in mean)


def test_a_coordinate_that_nobody_covers_keeps_the_servers_value():
    server, client, parts = (
        initial_model(SPEC["cnn"], 0),
        initial_model(SPEC["cnn"], 1),
        layout_of(SPEC["cnn"]),
    )
    held = narrow(0.5, shift=3)
    part = cut(client, parts, held)
    got, wanted = average_parts(server, [(part, held)], [5], parts), put(server, part, parts, held)
    assert all(torch.equal(got[name], wanted[name]) for name in server)


def test_a_client_of_weight_zero_does_not_count():
    server, parts = initial_model(SPEC["cnn"], 0), layout_of(SPEC["cnn"])
    got = average_parts(server, [(initial_model(SPEC["cnn"], 1), window(SPEC["cnn"]))], [0], parts)
    assert all(torch.equal(got[name], server[name]) for name in server)


def test_hand_numbers_by_coordinate():
    """Base 4, first layer's BatchNorm bias. A holds channels 0..3 with 1 (weight 1), B 2 and 3 with 5 (weight 3).

    Channels 0, 1: 1. Channels 2, 3: (1 x 1 + 3 x 5) / 4 = 4.
    """
    parts, whole, half = layout_of(SPEC["cnn"]), narrow(1.0), narrow(0.5, shift=2)
    server = {
        name: torch.zeros_like(tensor) for name, tensor in initial_model(SPEC["cnn"], 0).items()
    }
    a = {name: torch.ones_like(tensor) for name, tensor in server.items()}
    b = {name: torch.full_like(tensor, 5.0) for name, tensor in cut(server, parts, half).items()}
    mean = average_parts(server, [(a, whole), (b, half)], [1, 3], parts)
    assert mean["blocks.0.norm.bias"].tolist() == [1, 1, 4, 4]
    assert mean["linear.bias"].tolist() == [4.0] * 10  # everybody has all classes
    assert mean["blocks.1.conv.weight"][2, :, 0, 0].tolist() == [
        1,
        1,
        4,
        4,
    ]  # B has rows 2..5, columns 2, 3
    assert mean["blocks.1.conv.weight"][0, :, 0, 0].tolist() == [1, 1, 1, 1]
