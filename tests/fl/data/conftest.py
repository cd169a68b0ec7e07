"""Fixtures for tests of data: no files but the test's own, and registries as they were before."""

import urllib.request
from dataclasses import replace
from urllib.error import URLError

import pytest

from mosaic.fl.data import loading
from mosaic.fl.data.datasets import DATASETS


def offline(*args, **kwargs):
    """What a call does that would need the network."""
    raise URLError("this test is offline")


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """An empty home, no data dir, no copy of the system's, no network, nothing in memory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MOSAIC_DATA", "")
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    no_copy = replace(DATASETS["fashion_mnist"], system=str(tmp_path / "system"))
    monkeypatch.setitem(DATASETS, "fashion_mnist", no_copy)
    loading._load.cache_clear()
    yield
    loading._load.cache_clear()


@pytest.fixture
def registry():
    """Forgets the data sets that the test registers."""
    before = dict(DATASETS)
    yield DATASETS
    DATASETS.clear()
    DATASETS.update(before)
    loading._load.cache_clear()
