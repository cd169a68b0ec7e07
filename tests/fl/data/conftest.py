"""Fixtures for tests of data: no files but the test's own, and registries as they were before."""

import json
import urllib.request
from dataclasses import replace

import pytest
from data_files import offline
from partition_builders import LISTS

from mosaic.fl.data import loading
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.given_partition import PARTITIONS


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
    """Forgets the data sets and partitions that the test registers."""
    datasets = dict(DATASETS)
    partitions = dict(PARTITIONS)
    yield
    for known, before in ((DATASETS, datasets), (PARTITIONS, partitions)):
        known.clear()
        known.update(before)
    loading._load.cache_clear()


@pytest.fixture
def file(tmp_path):
    """A partition file of three clients of digits."""
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"clients": LISTS}))
    return path
