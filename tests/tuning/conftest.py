"""What every test of the tuner stands on: the oracle among the methods, and nothing left behind."""

import pytest
from oracle import ORACLE

from benchmarks.planning.methods import METHODS
from mosaic.fl.cache import use_cache, watch_stages


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, request, unrendered):
    """The oracle is a method; no figures but where a test asks for them; nothing is left behind."""
    monkeypatch.setitem(METHODS, "oracle", ORACLE)
    monkeypatch.setenv("MOSAIC_DATA", "")
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("benchmarks.tuning.report.write_figures", lambda *given: [])
    yield
    use_cache(None)
    watch_stages(None)
