"""The files in examples/ run as they are."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from baselines import fedavg
from benchmarks.run import main
from mosaic.fl.contract import Skip
from mosaic.fl.task import Task

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def fedavgm(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import fedavgm

    return fedavgm


@pytest.mark.parametrize("participation", [1.0, 0.4])
def test_fedavgm_without_momentum_is_fedavg(participation, fedavgm, task, store):
    task = dataclasses.replace(task, participation=participation)
    images = torch.rand(4, 1, 8, 8) * 2 - 1
    expected = list(fedavg.run(task, fedavg.Config()))[-1].predict(images)
    without_momentum = list(fedavgm.run(task, fedavgm.Config(beta=0.0)))[-1].predict(images)
    with_momentum = list(fedavgm.run(task, fedavgm.Config()))[-1].predict(images)
    torch.testing.assert_close(without_momentum, expected)
    assert not torch.equal(with_momentum, expected)


def test_fedavgm_skips_tasks_with_narrow_clients(fedavgm):
    narrow = Task(n_clients=3, widths=(1.0, 0.5, 0.5))
    with pytest.raises(Skip):
        next(fedavgm.run(narrow, fedavgm.Config()))


def test_the_documentation_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "add-a-method.md").read_text()
    assert (EXAMPLES / "fedavgm.py").read_text().strip() in page


def test_the_documentation_shows_the_suite_as_it_is():
    page = (ROOT / "docs" / "add-a-suite.md").read_text()
    assert (EXAMPLES / "own_suite.toml").read_text().strip() in page


def test_the_suite_runs(tmp_path, unrendered):
    suite = str(EXAMPLES / "own_suite.toml")
    tiny = ["--set", "task.rounds=1", "--set", "task.steps=2", "--set", "task.base_width=4"]
    assert main(["--suite", suite, "--out", str(tmp_path), "--jobs", "1", *tiny]) == 0
    table = (tmp_path / "own_suite" / "table.md").read_text()
    for label in ("local", "fedavg", "fedprox-weak", "centralised"):
        assert re.search(rf"^\| {label}\b", table, re.MULTILINE)
    assert "### Paired differences to fedavg" in table
    records = pd.read_csv(tmp_path / "own_suite" / "records.csv")
    assert set(records["status"]) == {"done"} and set(records["omega"]) == {0.1, 1.0}


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # none is committed

    # the kernel starts in an empty folder: what the notebook writes must not stay in the repository
    notebook.cells.insert(
        0, nbformat.v4.new_code_cell(f"import sys; sys.path.insert(0, {str(ROOT)!r})")
    )
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert (tmp_path / "results" / "quickstart" / "heterogeneity" / "table.md").exists()
    assert notebook.cells[-2].outputs  # the figure
