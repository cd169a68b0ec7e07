"""Fixtures for all tests: a tiny task on real digits, a cache in a folder of the test's own.

Helper functions that are no fixtures are in helpers.py.
"""

import dataclasses

import pytest
import torch

from mosaic.fl.cache import use_cache
from mosaic.fl.task import Task

torch.set_num_threads(1)  # as Task.threads: it fixes the order of sums, and so the last bits

# A test that computes something twice must not read the second result from a temporary cache.
use_cache(None)


@pytest.fixture
def task() -> Task:
    """Three clients, two rounds of three steps: everything runs, nothing takes long."""
    return Task(
        n_train=240,
        omega=1.0,
        n_clients=3,
        rounds=2,
        score_every=1,
        steps=3,
        batch_size=16,
        base_width=4,
        lr=0.05,
    )


@pytest.fixture
def store(tmp_path):
    """The folder of a cache that only this test uses. After the test no cache is in use."""
    folder = tmp_path / "store"
    use_cache(folder)
    yield folder
    use_cache(None)


@pytest.fixture
def figures():
    """Requested by tests that look at figures, which take most of the time of a small run."""


@pytest.fixture
def unrendered(monkeypatch, request):
    """Figures are laid out, but not written to files, unless the test requests ``figures``."""
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *args, **kwargs: None)


@pytest.fixture
def no_methods_left(monkeypatch):
    """Methods that a test loads from files are forgotten after it."""
    from benchmarks.planning import plugins
    from benchmarks.planning.methods import METHODS

    monkeypatch.setattr(plugins, "_loaded", {})
    before = set(METHODS)
    yield
    for name in set(METHODS) - before:
        del METHODS[name]


@pytest.fixture
def tiny_cell(task):
    """Make a cell of a method on the tiny task: tiny_cell("fedavg", seed=1) changes the task."""
    from helpers import few_steps

    from benchmarks.planning.cell import Cell
    from benchmarks.planning.settings import configure

    def make(method: str, label: str = "", config=None, **changes) -> Cell:
        if config is None:
            config = configure(method, few_steps(method))
        return Cell(
            suite="tiny",
            scale="quick",
            label=label or method,
            method=method,
            task=dataclasses.replace(task, **changes),
            config=config,
            widths="full",
            fidelity_n=90,
        )

    return make
