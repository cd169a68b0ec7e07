"""The README: its list of methods is the code's, and its example of a method runs as printed."""

import dataclasses
import re
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

from baselines import fedavg
from benchmarks.planning.methods import METHODS, facts_of, methods_table
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.table import markdown
from mosaic.fl.contract import NEEDS, PROTOCOLS, Skip

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
    torch.testing.assert_close(
        list(example.run(task, example.Config(beta=0.0)))[-1].predict(images), theirs
    )
    assert not torch.equal(list(example.run(task, example.Config()))[-1].predict(images), theirs)


def test_the_example_says_where_it_does_not_apply(example, task):
    narrow = dataclasses.replace(task, widths=(1.0, 0.5, 0.5))
    with pytest.raises(Skip):
        next(example.run(narrow, example.Config()))


def test_the_list_of_methods_is_the_codes():
    (listed,) = re.findall(
        r"<!-- made by python -m benchmarks.planning.methods; .*? -->\n(.*?)\n<!-- end of methods -->",
        README.read_text(),
        re.DOTALL,
    )
    assert listed == methods_table(), (
        "run python -m benchmarks.planning.methods and put its output into README.md"
    )


def test_what_each_method_was_given_is_the_records():
    (told,) = re.findall(
        r"<!-- made by .*?budget (.*?) -->\n(.*?)<!-- end of what", README.read_text(), re.DOTALL
    )
    records, page = told
    made = markdown(budget_page(pd.read_csv(README.parent / records, low_memory=False)))
    assert page == made, (
        f"run python -m benchmarks.reporting.pages.budget {records} and put its output into README.md"
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_what_it_needs_in_words_that_tables_know(method):
    module = METHODS[method]
    assert set(module.NEEDS) <= set(NEEDS) and module.PROTOCOL in PROTOCOLS


def test_pooled_data_are_not_data_free():
    assert not facts_of("centralised")["data_free"] and facts_of("mosaic")["data_free"]
    assert facts_of("mosaic")["needs"] == "label counts, generators, prototypes"
