"""The data of cells: fingerprints in their keys, and where the data are."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.planning.data import (
    absent,
    fingerprints,
    places,
    proxy_of,
    splits_of,
    with_data,
    without_data,
)
from benchmarks.planning.settings import configure
from benchmarks.tuning.validation import validate
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.loading import fingerprint, load
from mosaic.fl.data.user_data import register_data
from mosaic.fl.errors import InputError

DIGITS = [("digits", "train"), ("digits", "test")]


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A folder for data that has none."""
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path))


@pytest.fixture
def registry():
    """Forgets the data sets that the test registers."""
    before = dict(DATASETS)
    yield
    DATASETS.clear()
    DATASETS.update(before)


def feddf(tiny_cell, **settings):
    config = configure("feddf", settings)
    return tiny_cell("feddf", config=config)


def test_a_cell_names_its_training_and_test_data(tiny_cell):
    cell = tiny_cell("fedavg")
    assert splits_of([cell, tiny_cell("local")]) == DIGITS
    [stamped] = with_data([cell], fingerprints(DIGITS, download=False))
    assert stamped.task.data == fingerprint(load("digits", "train"))
    assert stamped.test_data == fingerprint(load("digits", "test"))
    assert stamped.key != cell.key and stamped.proxy_data == ""
    assert without_data(stamped) == cell


def test_a_cell_names_the_data_set_of_its_proxy_images(tiny_cell):
    assert proxy_of(feddf(tiny_cell)) is None
    assert proxy_of(feddf(tiny_cell, proxy="noise")) is None
    cell = feddf(tiny_cell, proxy="mnist")
    assert splits_of([cell]) == [*DIGITS, ("mnist", "train")]
    keys = {with_data([cell], {("mnist", "train"): text})[0].key for text in ("", "a", "b")}
    assert len(keys) == 3


def test_a_trial_with_other_data_than_its_study_is_an_error(tiny_cell):
    """Also with other proxy images: a study's processes may be on several machines."""
    cell = feddf(tiny_cell, proxy="digits")
    for changed in (
        replace(cell, task=replace(cell.task, data="other")),
        replace(cell, proxy_data="other"),
    ):
        with pytest.raises(InputError, match="other data: the train images"):
            validate(changed, with_fidelity=False)


def test_data_that_are_not_here_are_left_out_without_a_download(tiny_cell, nowhere):
    cells = [tiny_cell("fedavg"), tiny_cell("fedavg", dataset="mnist")]
    known = fingerprints(splits_of(cells), download=False)
    assert list(known) == DIGITS
    assert absent(with_data(cells, known)) == ["mnist"]
    [proxy] = with_data([feddf(tiny_cell, proxy="mnist")], known)
    assert absent([proxy]) == ["mnist"]


def test_one_line_says_where_each_data_set_is(nowhere, registry, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    labels = np.arange(20) % 2
    path = tmp_path / "own.npz"
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    own = register_data(path)
    assert places([*DIGITS, ("mnist", "train"), (own, "train")]) == (
        f"data: digits: scikit-learn; mnist: not on this machine; own-{own[5:11]}: {path}"
    )
