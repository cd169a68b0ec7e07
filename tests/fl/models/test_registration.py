"""Models from outside the package: they train and are averaged; a broken one says what to write."""

from dataclasses import replace
from textwrap import dedent

import pytest
import torch

from mosaic.fl.aggregation import average
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.fl.models.live_network import initial_model, layout_of
from mosaic.fl.models.registration import load_model_file, register_model
from mosaic.fl.models.registry import MODELS, Model, new_network
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


@pytest.fixture
def write(tmp_path):
    """Write a model file and return its path."""

    def write_file(text: str, name: str = "mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def register(name: str, model: Model) -> None:
    register_model(name, model.network, groups=model.group, multiples=model.multiples)


# Models that keep the rules


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
def test_a_registered_model_runs_in_rounds_at_every_width(widths, two_convolutions, task, store):
    register("two", two_convolutions)
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


def test_a_name_stands_for_one_model(two_convolutions):
    register("two", two_convolutions)
    register("two", two_convolutions)
    assert MODELS["two"] == two_convolutions
    with pytest.raises(InputError, match="already a model 'two'"):
        register("two", replace(two_convolutions, multiples=(2, 3)))
    with pytest.raises(InputError, match="already a model 'cnn'"):
        register("cnn", two_convolutions)


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
