"""Load a split of a data set, once per process."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from mosaic.fl.data.datasets import DATASETS, check_name
from mosaic.fl.data.download import find_split, writable_root
from mosaic.fl.data.pictures import decode
from mosaic.fl.data.source import SPLITS, Images
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.home import expanded
from mosaic.fl.rng import numpy_stream

_sealed = False  # whether loading a test split is an error


def use_data_dir(path: str | os.PathLike | None) -> None:
    """Look for data in a folder first, in this process and in those it starts.

    Args:
        path: the folder. If it does not exist, a download creates it. None changes nothing.

    Raises:
        InputError: the path is a file.
    """
    if path is None:
        return
    folder = expanded(path).absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the data dir {folder} is a file: give a folder")
    os.environ["MOSAIC_DATA"] = str(folder)


def load(name: str, split: str) -> Images:
    """Load a split of a data set; it is located or downloaded once, and then kept in memory.

    Loading one split does not open the files of the other.

    Args:
        name: one of DATASETS.
        split: "train" or "test".

    Returns:
        The images. Those of the test split are in a fixed random order, because BatchNorm with
        the statistics of a batch needs batches with images of all classes.

    Raises:
        InputError: the name is unknown, or the data are absent or damaged.
        RuntimeError: the test set is sealed (:func:`sealed_test_set`).
    """
    check_name(name)
    if split not in SPLITS:
        raise did_you_mean("split", split, SPLITS)
    if split == "test" and _sealed:
        raise RuntimeError(
            f"the test set of {name} was requested while it is sealed: tuning uses validation "
            "images"
        )
    return _load(name, split, os.environ.get("MOSAIC_DATA"))


@contextmanager
def sealed_test_set() -> Iterator[None]:
    """Make loading a test split a RuntimeError in this process, for tuning."""
    global _sealed
    before = _sealed
    _sealed = True
    try:
        yield
    finally:
        _sealed = before


@lru_cache(maxsize=8)
def _load(name: str, split: str, data_dir: str | None) -> Images:
    source = DATASETS[name]
    root = folder = Path()
    if source.files:
        root, folder = find_split(name, split, data_dir)
    images, labels = source.read(folder, split, source)

    if split == "test":
        order = numpy_stream("test order", name).permutation(len(labels))
        images = images[order]
        labels = labels[order]

    if source.pictures:
        cache_dir = writable_root(root) / ".mosaic-cache"
        images = decode(images, source.size, cache_dir, f"{name}-{split}")
    return Images(name, torch.from_numpy(images), torch.from_numpy(labels), source.n_classes)


def fingerprint(images: Images) -> str:
    """16 hex digits of the SHA-256 of the shape, the pixels and the labels."""
    pixels = images.images.contiguous().numpy()
    labels = images.labels.numpy().astype("<i8")
    digest = hashlib.sha256(repr(tuple(images.images.shape)).encode())
    digest.update(pixels.data)
    digest.update(labels.data)
    return digest.hexdigest()[:16]
