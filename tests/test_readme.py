"""The README's example of a method is complete: it runs as printed, and with its momentum off it is FedAvg."""

import dataclasses
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from baselines import fedavg
from mosaic.fl.task import Skip

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def example(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
    exec(compile(code, "README.md", "exec"), module.__dict__)
    return module


def test_without_momentum_the_example_is_fedavg(example, task, store):
    images = torch.rand(4, 1, 8, 8) * 2 - 1
    theirs = list(fedavg.run(task, fedavg.Config()))[-1].predict(images)
    torch.testing.assert_close(list(example.run(task, example.Config(beta=0.0)))[-1].predict(images), theirs)
    assert not torch.equal(list(example.run(task, example.Config()))[-1].predict(images), theirs)


def test_the_example_says_where_it_does_not_apply(example, task):
    narrow = dataclasses.replace(task, widths=(1.0, 0.5, 0.5))
    with pytest.raises(Skip):
        next(example.run(narrow, example.Config()))
