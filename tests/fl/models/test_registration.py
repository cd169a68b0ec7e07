"""Models from outside the package: they train and are averaged; a broken one says what to write."""

from dataclasses import replace
from textwrap import dedent

import pytest
import torch
from torch import nn

from mosaic.fl.aggregation import average
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.fl.models.check import check_model
from mosaic.fl.models.live_network import initial_model, layout_of, live_network
from mosaic.fl.models.registration import load_model_file, register_model
from mosaic.fl.models.registry import MODELS, Model, new_network, whole_tensors
from mosaic.fl.models.spec import Spec
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import features, predictor
from mosaic.fl.training.sgd import train

PERCEPTRON = dedent('''
    """A perceptron with one hidden layer of 4 w units."""

    from torch import nn

    from mosaic.fl.models.registry import Model


    class Perceptron(nn.Module):
        def __init__(self, spec, channels):
            super().__init__()
            n_hidden = 4 * spec.base_width
            self.hidden = nn.Linear(spec.channels * spec.size**2, n_hidden)
            self.linear = nn.Linear(n_hidden, spec.n_classes)

        def features(self, x):
            return self.hidden(x.flatten(1)).relu()

        def forward(self, x):
            return self.linear(self.features(x))


    MODEL = Model(network=Perceptron, narrows=False)
''')


class TwoConvolutions(nn.Module):
    """Two convolutions of equally many channels, with BatchNorm."""

    def __init__(self, spec, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(spec.channels, channels[0], 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels[0])
        self.conv2 = nn.Conv2d(channels[0], channels[1], 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels[1])
        self.linear = nn.Linear(channels[1], spec.n_classes)

    def features(self, x):
        x = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(x)).relu().mean((2, 3))

    def forward(self, x):
        return self.linear(self.features(x))


def two_groups(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "c2")
    if name.startswith(("conv1", "norm1")):
        return ("c1", "image")
    return ("c2", "c1")


NARROWING = Model(TwoConvolutions, two_groups, (2, 2))


@pytest.fixture(autouse=True)
def no_traces():
    """Models that a test adds are gone after it."""
    before = dict(MODELS)
    yield
    MODELS.clear()
    MODELS.update(before)
    live_network.cache_clear()


@pytest.fixture
def write(tmp_path):
    """Write a model file and return its path."""

    def write_file(text: str, name: str = "mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


# Models that keep the rules


@pytest.mark.parametrize("name", list(MODELS))
def test_the_built_in_models_keep_the_rules(name):
    check_model(name, MODELS[name])


def test_a_model_of_a_file_is_trained_and_averaged(write, task):
    task = replace(task, model=load_model_file(write(PERCEPTRON)))
    start, shards = initial_model(task.spec, 0), open_federation(task).shards
    assert start["hidden.weight"].shape == (16, 64)

    clients = [train(start, shard, task, round=1) for shard in shards]
    assert not torch.equal(clients[0]["hidden.weight"], start["hidden.weight"])
    mean = average(clients, [1, 1, 2])
    a, b, c = (client["linear.bias"] for client in clients)
    assert torch.allclose(mean["linear.bias"], 0.25 * a + 0.25 * b + 0.5 * c)

    images = shards[0].images[:5]
    assert features(mean, task, images).shape == (5, 16)
    assert predictor(mean, task)(images / 255).shape == (5, 10)


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_a_registered_model_runs_in_rounds_at_every_width(widths, task, store):
    register_model("two", TwoConvolutions, groups=two_groups, multiples=(2, 2))
    task = replace(task, model="two", widths=widths)
    server = federated_model(task, task.rounds)
    start = initial_model(task.spec, task.seed)
    assert server.keys() == start.keys()
    for name, tensor in server.items():
        assert tensor.shape == start[name].shape
        assert tensor.isfinite().all()
    assert not torch.equal(server["conv2.weight"], start["conv2.weight"])


def test_without_groups_no_dimension_is_cut_and_narrow_widths_are_refused(write):
    name = load_model_file(write(PERCEPTRON))
    spec = Spec(name, channels=1, n_classes=10, base_width=4, size=8)
    assert set(layout_of(spec).values()) == {("pixels", "pixels"), ("pixels",)}
    with pytest.raises(InputError, match="has no version of width 0.5"):
        new_network(replace(spec, width=0.5))


def test_a_files_name_and_content_name_its_model(write):
    name = load_model_file(write(PERCEPTRON))
    stem, digits = name.split("-")
    assert stem == "mine" and len(digits) == 12 and int(digits, 16) >= 0
    first = MODELS[name]
    assert load_model_file(write(PERCEPTRON)) == name and MODELS[name] is first

    changed = load_model_file(write(PERCEPTRON.replace("4 * spec", "5 * spec")))
    assert changed != name and changed in MODELS and name in MODELS


def test_checking_a_model_leaves_the_global_random_state():
    before = torch.get_rng_state()
    check_model("two", NARROWING)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_name_stands_for_one_model():
    register_model("two", TwoConvolutions, groups=two_groups, multiples=(2, 2))
    register_model("two", TwoConvolutions, groups=two_groups, multiples=(2, 2))
    with pytest.raises(InputError, match="already a model 'two'"):
        register_model("two", TwoConvolutions, groups=two_groups, multiples=(2, 3))
    with pytest.raises(InputError, match="already a model 'cnn'"):
        register_model("cnn", TwoConvolutions, groups=two_groups, multiples=(2, 2))


# Files that are refused


@pytest.mark.parametrize(
    "text, message",
    [
        (PERCEPTRON.replace("class Perceptron", "class 7"), "line 9: .*Correct that line"),
        (PERCEPTRON.replace("Model\n", "Modell\n", 1), "ImportError.*Try it alone"),
        (PERCEPTRON.replace("MODEL", "MODELL"), "declares no MODEL. Write MODEL = Model"),
        (PERCEPTRON + "MODEL = Perceptron\n", "MODEL is a type. Write MODEL = Model"),
        (PERCEPTRON.replace('"""', "# "), "no docstring. Write"),
        (PERCEPTRON.replace("narrows=False", "multiples=(4,)"), "or narrows=False"),
    ],
)
def test_a_broken_file_says_what_to_write(text, message, write):
    before = dict(MODELS)
    with pytest.raises(InputError, match=message):
        load_model_file(write(text))
    assert before == MODELS


def test_a_missing_or_badly_named_file_is_an_input_error(write, tmp_path):
    with pytest.raises(InputError, match="there is no model file .*nowhere.py"):
        load_model_file(tmp_path / "nowhere.py")
    with pytest.raises(InputError, match="ending in .py, for example my_model.py"):
        load_model_file(write(PERCEPTRON, "my model.py"))
    with pytest.raises(InputError, match="ending in .py"):
        load_model_file(write(PERCEPTRON, "model.txt"))


# Networks that are refused


def network(**changed):
    """TwoConvolutions with other attributes after its construction, or other methods."""

    class Changed(TwoConvolutions):
        def __init__(self, spec, channels):
            super().__init__(spec, channels)
            for name, build in changed.items():
                if name not in ("features", "forward"):
                    setattr(self, name, build(spec, channels))

    for name in ("features", "forward"):
        if name in changed:
            setattr(Changed, name, changed[name])
    return Changed


REFUSED = {
    "no network": (lambda spec, channels: 7, "gave a int. Write a subclass of torch.nn.Module"),
    "other arguments": (lambda spec: 7, "TypeError: .*callable as network.spec, channels."),
    "no linear": (network(linear=lambda s, c: None), "Write self.linear = nn.Linear"),
    "no features": (network(features=None), "no method features. Write def features"),
    "too few classes": (network(linear=lambda s, c: nn.Linear(c[1], 3)), "not .B, n_classes."),
    "spatial features": (
        network(features=lambda self, x: self.conv2(self.conv1(x))),
        "TypeError|RuntimeError|End features with",
    ),
    "a view": (
        network(features=lambda self, x: self.conv1(x).view(len(x), -1)),
        "write x.flatten.1.*not x.view",
    ),
    "logits beyond linear": (
        network(forward=lambda self, x: 2 * self.linear(self.features(x))),
        "logits are not linear.features.x..",
    ),
    "another BatchNorm": (
        network(extra=lambda s, c: nn.BatchNorm1d(3)),
        "extra is a BatchNorm1d. Write nn.BatchNorm2d",
    ),
    "no statistics": (
        network(norm1=lambda s, c: nn.BatchNorm2d(c[0], track_running_stats=False)),
        "without track_running_stats=False",
    ),
    "a single number": (
        network(scale=lambda s, c: nn.Parameter(torch.tensor(1.0))),
        "scale is a .* of shape ..; .*Write torch.zeros.1.",
    ),
    "fixed channels": (
        network(conv1=lambda s, c: nn.Conv2d(1, c[0], 3, padding=1)),
        "images .3, 8, 8. failed with RuntimeError",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_network_that_breaks_a_rule_is_refused_with_a_remedy(case):
    build, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        check_model("two", replace(NARROWING, network=build))


def groups_with(**changed):
    """The right groups, but for tensors whose name begins with a key of ``changed``."""

    def group(name: str) -> tuple[str, ...]:
        for prefix, groups in changed.items():
            if name.startswith(prefix):
                return groups
        return two_groups(name)

    return group


@pytest.mark.parametrize(
    "group, message",
    [
        (groups_with(conv1=("c3", "image")), "names the group 'c3'. Return groups out of: c1, c2"),
        (groups_with(conv1=("c1", "classes")), "dimension 1 of conv1.weight has 1 values"),
        (groups_with(conv1=("c1",)), "Return 2 group names"),
        (groups_with(conv1=None), "must return a tuple of group names"),
        (groups_with(linear=("classes", "c1")), "Return .'classes', 'c2'."),
        # c1 and c2 have the same sizes: only a permutation of channels tells them apart
        (groups_with(norm1=("c2",)), "a permutation of the channels of c1"),
        (groups_with(norm2=("c1",)), "a permutation of the channels of c1"),
        (groups_with(conv2=("c1", "c2")), "a permutation of the channels of c1"),
    ],
)
def test_wrong_groups_are_refused(group, message):
    with pytest.raises(InputError, match=message):
        check_model("two", replace(NARROWING, group=group))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"multiples": (2, 3)}, "has 16 values in a network of width 1 .*'c2' has 24"),
        ({"multiples": (2, 0)}, "multiples contains 0. Write positive integers"),
        ({"multiples": ()}, "Write multiples=.1,."),
        ({"group": whole_tensors}, "need the channel groups.* or narrows=False"),
    ],
)
def test_multiples_and_groups_must_agree_with_the_network(changes, message):
    class Fixed(TwoConvolutions):
        """It takes no notice of ``multiples``."""

        def __init__(self, spec, channels):
            super().__init__(spec, [16, 16])

    with pytest.raises(InputError, match=message):
        check_model("two", replace(NARROWING, network=Fixed, **changes))


def test_a_network_whose_narrow_version_fails_is_refused():
    class OnlyFull(TwoConvolutions):
        """It takes no notice of the width."""

        def __init__(self, spec, channels):
            super().__init__(spec, [16, 16])

    message = "dimension 0 of conv1.weight has 16 values in a network of width 0.5.*'c1' has 8"
    with pytest.raises(InputError, match=message):
        check_model("two", replace(NARROWING, network=OnlyFull))
    check_model("two", Model(OnlyFull, narrows=False))
