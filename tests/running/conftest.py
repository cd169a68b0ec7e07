"""Fixtures of the tests that run cells: nothing of a test's session is left for the next."""

import pytest
from stops import end_all

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.suite import read_suite
from benchmarks.running.session import Session, prepare
from mosaic.fl.cache import use_cache, watch_stages


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """A run points this process at a store and a watcher; the next test starts without.

    Commands that a failed test has started end too.
    """
    yield
    end_all()
    use_cache(None)
    watch_stages(None)


@pytest.fixture
def session(tmp_path) -> Session:
    """A session in a folder of the test's own, which this process works in."""
    session = Session(tmp_path)
    prepare(session)
    return session


@pytest.fixture
def cells():
    """Four cells: two methods, two seeds."""
    name, suite = read_suite("heterogeneity")
    return expand_cells(
        name,
        suite,
        "quick",
        omega=[0.1],
        methods=["fedavg", "ensemble"],
        seeds=[0, 1],
        widths=["full"],
        precision="fp32",
    )
