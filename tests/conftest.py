"""Shared fixtures: a tiny real task on digits, a store of one's own, one thread."""

import dataclasses

import pytest
import torch

from mosaic.fl.cache import use_cache
from mosaic.fl.task import Task

torch.set_num_threads(1)  # the order of sums, and so the last bits, are those of Task.threads


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
    """A store under a folder of the test's own; afterwards none is in use."""
    folder = tmp_path / "store"
    use_cache(folder)
    yield folder
    use_cache(None)


@pytest.fixture
def figures():
    """Asked for by a test that looks at figures: rendering them is most of a small run's time."""


@pytest.fixture
def unrendered(monkeypatch, request):
    """Figures are laid out and their files are empty, but where a test asks for ``figures``."""
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *given, **named: None)


@pytest.fixture
def tiny_cell(task):
    """Make a cell of a method on the tiny task: tiny_cell("fedavg", seed=1) changes the task."""
    from benchmarks.planning.cell import Cell
    from benchmarks.planning.settings import configure

    def make(method: str, label: str = "", config=None, **changes) -> Cell:
        if config is None:
            config = configure(method, {"client": 0.001, "server": 0.001}, {})
        return Cell(
            suite="tiny",
            scale="quick",
            label=label or method,
            method=method,
            task=dataclasses.replace(task, **changes),
            config=config,
            widths="full",
            client_work=0.001,
            server_work=0.001,
            fidelity_n=90,
        )

    return make
