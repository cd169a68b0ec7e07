"""Fixtures of the tuner's tests: the oracle is a method, and nothing is left behind."""

import pytest
from oracle import ORACLE

from benchmarks.planning.methods import METHODS
from mosaic.fl.cache import use_cache, watch_stages


@pytest.fixture(autouse=True)
def oracle_is_a_method(monkeypatch, request, unrendered):
    """The oracle is in METHODS; no figures are drawn unless a test asks for ``figures``."""
    monkeypatch.setitem(METHODS, "oracle", ORACLE)
    monkeypatch.setenv("MOSAIC_DATA", "")
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("benchmarks.tuning.report.write_figures", no_figures)
    yield
    use_cache(None)
    watch_stages(None)


def no_figures(study, plan, folder, failures):
    return []
