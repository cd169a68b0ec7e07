"""Sub-models: cut and put are inverse, static windows nest, rolling ones reach every channel."""

from dataclasses import replace

import pytest
import torch
from helpers import same

from mosaic.fl.models.live_network import initial_model, layout_of
from mosaic.fl.models.registry import (
    MODELS,
    channel_groups,
    full_channels,
    new_network,
    scaled_channels,
)
from mosaic.fl.models.spec import Spec
from mosaic.fl.submodel import coordinates, cut, put, rolling_window, window
from mosaic.fl.task import Task, capacity_widths

NARROWING = [name for name, model in MODELS.items() if model.narrows]
GROUPS = ("c1", "c2", "c3", "c4")
WIDTHS = [0.1, 0.25, 0.5, 0.7, 1.0]
SHIFTS = [0, 1, 5, 1000]


def spec_of(model: str, width: float = 1.0) -> Spec:
    return Spec(model, channels=3, n_classes=10, base_width=6, width=width)


def numbered(model: str) -> dict[str, torch.Tensor]:
    """A state whose entries are all different."""
    state = {}
    first = 1
    for name, tensor in initial_model(spec_of(model), 0).items():
        state[name] = torch.arange(first, first + tensor.numel()).float().reshape(tensor.shape)
        first += tensor.numel()
    return state


@pytest.mark.parametrize("model", NARROWING)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_cut_then_put_is_the_identity(model, width, shift):
    state = numbered(model)
    layout = layout_of(spec_of(model))
    channels = window(spec_of(model, width), shift)
    assert same(put(state, cut(state, layout, channels), layout, channels), state)


@pytest.mark.parametrize("model", NARROWING)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_put_then_cut_is_the_identity_and_leaves_all_other_coordinates(model, width, shift):
    state = numbered(model)
    layout = layout_of(spec_of(model))
    channels = window(spec_of(model, width), shift)
    part = {name: -tensor for name, tensor in cut(state, layout, channels).items()}
    whole = put(state, part, layout, channels)
    assert same(cut(whole, layout, channels), part)
    for name in state:
        assert (whole[name] < 0).sum() == part[name].numel(), name
        assert torch.equal(whole[name].abs(), state[name]), name
    assert all((tensor > 0).all() for tensor in state.values())  # put leaves its argument alone


@pytest.mark.parametrize("model", NARROWING)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_tensor_of_a_sub_model_fits_the_narrow_network_which_runs(model, width):
    spec = spec_of(model, width)
    network = new_network(spec)
    wanted = {
        k: v.shape for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    whole = initial_model(spec_of(model), 0)
    part = cut(whole, layout_of(spec_of(model)), window(spec, shift=3))
    assert {name: tensor.shape for name, tensor in part.items()} == wanted
    network.load_state_dict(part, strict=False)
    assert network.eval()(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("model", NARROWING)
def test_the_image_and_the_classes_are_never_cut(model):
    state = numbered(model)
    part = cut(state, layout_of(spec_of(model)), window(spec_of(model, 0.1), shift=2))
    assert part["linear.weight"].shape[0] == 10
    assert torch.equal(part["linear.bias"], state["linear.bias"])
    first = next(iter(state))
    assert part[first].shape[1:] == state[first].shape[1:]


@pytest.mark.parametrize("model", NARROWING)
def test_static_windows_nest(model):
    narrow_to_wide = [window(spec_of(model, width)) for width in WIDTHS[:-1]]
    for narrow, wide in zip(narrow_to_wide, narrow_to_wide[1:], strict=False):
        for group in GROUPS:
            assert set(narrow[group].tolist()) <= set(wide[group].tolist())
            assert narrow[group].tolist() == list(range(len(narrow[group])))


@pytest.mark.parametrize("model", NARROWING)
@pytest.mark.parametrize("width", [0.1, 0.25, 0.5])
def test_a_rolling_window_has_every_channel_equally_often_in_a_full_turn(model, width):
    spec = spec_of(model, width)
    for group in GROUPS:
        turn = full_channels(spec, group)
        channels = torch.cat([window(spec, t)[group] for t in range(1, turn + 1)])
        times = channels.bincount(minlength=turn)
        assert times.tolist() == [scaled_channels(spec, group)] * turn


def test_a_rolling_window_wraps_around():
    """Half of 6 channels from channel 4: 4, 5 and 0, in ascending order."""
    assert window(spec_of("cnn", 0.5), shift=4)["c1"].tolist() == [0, 4, 5]


@pytest.mark.parametrize("model", NARROWING)
def test_width_one_is_the_whole_model(model):
    state = numbered(model)
    layout = layout_of(spec_of(model))
    channels = window(spec_of(model), shift=7)
    assert all(indices is None for indices in channels.values())
    assert cut(state, layout, channels) is state
    assert all(coordinates(tensor, layout[name], channels) == () for name, tensor in state.items())


def test_a_channel_count_is_the_ceiling_of_its_share():
    """ceil(0.25 x 6) = 2 and ceil(0.01 x 6) = 1: no layer vanishes.

    0.28 x 25 is 7, and slightly more in floating point.
    """
    spec = spec_of("cnn")
    assert [scaled_channels(replace(spec, width=w), "c1") for w in (0.25, 0.01, 1.0)] == [2, 1, 6]
    assert scaled_channels(replace(spec, base_width=25, width=0.28), "c1") == 7


def untrained(task: Task) -> dict[str, int]:
    """How many channels of each group no client's window has in any of the task's rounds."""
    missed = {}
    for group in channel_groups(task.model):
        held = torch.zeros(full_channels(task.spec, group), dtype=torch.bool)
        for t in range(1, task.rounds + 1):
            for width in task.widths:
                channels = rolling_window(task, width, t)[group]
                held[slice(None) if channels is None else channels] = True
        missed[group] = int((~held).sum())
    return missed


def test_a_window_that_goes_once_around_has_every_channel_in_some_round():
    """At rho = 10 the widest client has half of the 64 channels, so 32 + 19 are reached."""
    widths = capacity_widths(10, rho=10, sigma=4)
    task = Task(n_clients=10, widths=widths, rounds=20, base_width=16)
    assert set(untrained(task).values()) == {0}
    assert untrained(replace(task, roll="channel"))["c4"] == 13
