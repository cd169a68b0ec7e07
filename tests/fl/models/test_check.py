"""check_model: it lets correct models pass, and says what to write where a rule is broken."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mosaic.fl.errors import InputError
from mosaic.fl.models.check import check_model
from mosaic.fl.models.registry import MODELS, Model, whole_tensors


@pytest.mark.parametrize("name", list(MODELS))
def test_the_built_in_models_keep_the_rules(name):
    check_model(name, MODELS[name])


def test_checking_a_model_leaves_the_global_random_state(two_convolutions):
    before = torch.get_rng_state()
    check_model("two", two_convolutions)
    assert torch.equal(torch.get_rng_state(), before)


def subclass(network, layers: dict, methods: dict):
    """The network with other layers, ``layers[name](spec, channels)``, and other methods."""

    class Changed(network):
        def __init__(self, spec, channels):
            super().__init__(spec, channels)
            for name, build in layers.items():
                setattr(self, name, build(spec, channels))

    for name, method in methods.items():
        setattr(Changed, name, method)
    return Changed


WRONG_LAYERS = {
    "no linear": ({"linear": lambda s, c: None}, "Write self.linear = nn.Linear"),
    "too few classes": ({"linear": lambda s, c: nn.Linear(c[1], 3)}, "not .B, n_classes."),
    "another BatchNorm": (
        {"extra": lambda s, c: nn.BatchNorm1d(3)},
        "extra is a BatchNorm1d. Write nn.BatchNorm2d",
    ),
    "no statistics": (
        {"norm1": lambda s, c: nn.BatchNorm2d(c[0], track_running_stats=False)},
        "without track_running_stats=False",
    ),
    "a single number": (
        {"scale": lambda s, c: nn.Parameter(torch.tensor(1.0))},
        "scale is a .* of shape ..; .*Write torch.zeros.1.",
    ),
    "fixed image channels": (
        {"conv1": lambda s, c: nn.Conv2d(1, c[0], 3, padding=1)},
        "images .3, 8, 8. failed with RuntimeError",
    ),
}


@pytest.mark.parametrize("case", WRONG_LAYERS)
def test_wrong_layers_are_refused_with_a_remedy(case, two_convolutions):
    layers, message = WRONG_LAYERS[case]
    network = subclass(two_convolutions.network, layers, {})
    with pytest.raises(InputError, match=message):
        check_model("two", replace(two_convolutions, network=network))


WRONG_METHODS = {
    "no features": ({"features": None}, "no method features. Write def features"),
    "features that are images": (
        {"features": lambda self, x: self.conv2(self.conv1(x)), "forward": lambda self, x: x},
        "not .B, F.. End features with",
    ),
    "a view": (
        {"features": lambda self, x: self.conv1(x).view(len(x), -1)},
        "write x.flatten.1.*not x.view",
    ),
    "logits beyond linear": (
        {"forward": lambda self, x: 2 * self.linear(self.features(x))},
        "logits are not linear.features.x..",
    ),
}


@pytest.mark.parametrize("case", WRONG_METHODS)
def test_wrong_methods_are_refused_with_a_remedy(case, two_convolutions):
    methods, message = WRONG_METHODS[case]
    network = subclass(two_convolutions.network, {}, methods)
    with pytest.raises(InputError, match=message):
        check_model("two", replace(two_convolutions, network=network))


@pytest.mark.parametrize(
    "network, message",
    [
        (lambda spec, channels: 7, "gave a int. Write a subclass of torch.nn.Module"),
        (lambda spec: 7, "TypeError: .*callable as network.spec, channels."),
    ],
)
def test_what_builds_no_network_is_refused(network, message, two_convolutions):
    with pytest.raises(InputError, match=message):
        check_model("two", replace(two_convolutions, network=network))


def of_fixed_width(network):
    """The network with 16 channels per layer, whatever it is built with."""

    class FixedWidth(network):
        def __init__(self, spec, channels):
            super().__init__(spec, [16, 16])

    return FixedWidth


def groups_with(right_groups, changed: dict):
    """The right groups, but for tensors whose name begins with a key of ``changed``."""

    def group(name: str) -> tuple[str, ...]:
        for prefix, groups in changed.items():
            if name.startswith(prefix):
                return groups
        return right_groups(name)

    return group


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"conv1": ("c3", "image")}, "names the group 'c3'. Return groups out of: c1, c2"),
        ({"conv1": ("c1", "classes")}, "dimension 1 of conv1.weight has 1 values"),
        ({"conv1": ("c1",)}, "Return 2 group names"),
        ({"conv1": None}, "must return a tuple of group names"),
        ({"linear": ("classes", "c1")}, "Return .'classes', 'c2'."),
        # c1 and c2 have the same sizes: only a permutation of channels tells them apart
        ({"norm1": ("c2",)}, "a permutation of the channels of c1"),
        ({"norm2": ("c1",)}, "a permutation of the channels of c1"),
        ({"conv2": ("c1", "c2")}, "a permutation of the channels of c1"),
    ],
)
def test_wrong_groups_are_refused(changed, message, two_convolutions):
    group = groups_with(two_convolutions.group, changed)
    with pytest.raises(InputError, match=message):
        check_model("two", replace(two_convolutions, group=group))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"multiples": (2, 3)}, "has 16 values in a network of width 1 .*'c2' has 24"),
        ({"multiples": (2, 0)}, "multiples contains 0. Write positive integers"),
        ({"multiples": ()}, "Write multiples=.1,."),
        ({"group": whole_tensors}, "need the channel groups.* or narrows=False"),
    ],
)
def test_multiples_and_groups_must_agree_with_the_network(changes, message, two_convolutions):
    network = of_fixed_width(two_convolutions.network)
    with pytest.raises(InputError, match=message):
        check_model("two", replace(two_convolutions, network=network, **changes))


def test_a_network_without_narrow_versions_must_say_so(two_convolutions):
    network = of_fixed_width(two_convolutions.network)
    message = "dimension 0 of conv1.weight has 16 values in a network of width 0.5.*'c1' has 8"
    with pytest.raises(InputError, match=message):
        check_model("two", replace(two_convolutions, network=network))
    check_model("two", Model(network, narrows=False))
