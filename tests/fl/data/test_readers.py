"""Each data set is read from small files in its real format."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from data_files import (
    PICTURES,
    SMALL,
    WRITERS,
    assert_sound,
    offline,
    pixels,
    write_cifar10,
    write_food101,
)
from PIL import Image

from mosaic.fl.data import loading
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.loading import load, use_data_dir
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("no_data")

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def test_every_data_set_but_digits_is_tested_from_its_real_format():
    assert {*WRITERS, "digits"} == set(DATASETS)


@pytest.mark.parametrize("name", SMALL)
def test_arrays_are_read_from_the_real_format(name, tmp_path):
    WRITERS[name](tmp_path)
    use_data_dir(tmp_path)
    source = DATASETS[name]
    train, test = load(name, "train"), load(name, "test")
    assert_sound(train, 12)
    assert_sound(test, 8)
    written = torch.from_numpy(pixels(12, source.channels, source.size, source.size))
    assert torch.equal(train.images, written)
    assert train.labels.tolist() == [k % 10 for k in range(12)]
    # The test images are in another order. The label of each is the row it was written in.
    written = torch.from_numpy(pixels(8, source.channels, source.size, source.size))
    assert torch.equal(test.images, written[test.labels])
    assert test.labels.tolist() != list(range(8)) and sorted(test.labels.tolist()) == list(range(8))


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_read_from_the_real_format(name, tmp_path, monkeypatch):
    WRITERS[name](tmp_path)
    use_data_dir(tmp_path)
    n_classes = DATASETS[name].n_classes
    train, test = load(name, "train"), load(name, "test")
    assert train.labels.tolist() == list(range(n_classes))
    assert sorted(test.labels.tolist()) == list(range(n_classes))
    assert test.labels.tolist() != list(range(n_classes))
    for split in train, test:  # the picture of class k has the grey value k, but for JPEG
        assert_sound(split, n_classes)
        greys = split.labels[:, None, None, None].expand_as(split.images)
        assert (split.images.int() - greys).abs().max() <= 1
    # The second time nothing is decoded.
    loading._load.cache_clear()
    monkeypatch.setattr(Image, "open", offline)
    assert loading.fingerprint(load(name, "test")) == loading.fingerprint(test)


def test_an_incomplete_cache_of_pictures_is_written_again(tmp_path):
    write_food101(tmp_path)
    use_data_dir(tmp_path)
    before = loading.fingerprint(load("food101", "test"))
    (cache,) = (tmp_path / ".mosaic-cache").glob("*.npy")
    for content in (cache.read_bytes()[:5000], b"", b"not an array"):
        loading._load.cache_clear()
        cache.unlink()  # the first is still mapped
        cache.write_bytes(content)
        assert loading.fingerprint(load("food101", "test")) == before
    assert not list(cache.parent.glob("*.partial"))


def test_digits_are_complete_scaled_and_stratified():
    train, test = load("digits", "train"), load("digits", "test")
    assert_sound(train, 1438)  # 1797 - round(0.2 * 1797)
    assert_sound(test, 359)
    values = torch.cat([train.images, test.images]).unique().tolist()
    assert values == [round(x * 255 / 16) for x in range(17)]
    share = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert (share - 0.2).abs().max() < 0.01


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_of_the_system_is_complete_and_not_taken_for_mnist(monkeypatch, tmp_path):
    of_system = replace(DATASETS["fashion_mnist"], system=str(DEBIAN))
    monkeypatch.setitem(DATASETS, "fashion_mnist", of_system)
    train, test = load("fashion_mnist", "train"), load("fashion_mnist", "test")
    assert train.labels.bincount().tolist() == [6000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10
    use_data_dir(DEBIAN)
    for split in "train", "test":
        with pytest.raises(
            InputError, match="holds fashion_mnist, whose files have the same names"
        ):
            load("mnist", split)


def test_one_split_is_read_without_the_other(tmp_path):
    for file in write_cifar10(tmp_path)["test"].parent.glob("data_batch_*"):
        file.unlink()
    use_data_dir(tmp_path)
    assert_sound(load("cifar10", "test"), 8)
    with pytest.raises(InputError, match="cifar10 .train. is not in"):
        load("cifar10", "train")
