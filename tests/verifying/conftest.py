"""Folders of results that were really run, once for all tests of verification."""

import pytest
import recorded

from mosaic.fl.cache import use_cache, watch_stages


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    use_cache(None)
    watch_stages(None)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Three cells with their partitions, without pages. Tests change copies only."""
    cells = [recorded.cell("local"), recorded.cell("fedavg"), recorded.cell("fedavg", seed=1)]
    return recorded.run(tmp_path_factory.mktemp("small"), cells)


@pytest.fixture
def folder(small, tmp_path):
    """A copy of the small folder that a test may change."""
    return recorded.copied(small, tmp_path / "results")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A suite's folder as a run leaves it, with all pages and figures."""
    from benchmarks.running.request import Request
    from benchmarks.running.suite_run import open_run

    tiny = {"rounds": 2, "score_every": 1, "steps": 3, "base_width": 4, "n_train": 240}
    request = Request(
        methods=["fedavg", "local"],
        omega=[1.0],
        clients=[3],
        widths=["full"],
        seeds=[0, 1],
        settings={"task": tiny},
        precision="fp32",
        device="cpu",
        out=tmp_path_factory.mktemp("whole"),
        jobs=1,
    )
    run = open_run(request)
    _, failed = run.execute()
    assert not failed
    use_cache(None)
    return run.folder
