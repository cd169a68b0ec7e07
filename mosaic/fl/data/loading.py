"""Load a split of a data set, once per process."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

import torch

from mosaic.fl.data.datasets import DATASETS, check_name
from mosaic.fl.data.download import find_split, locate, writable_root
from mosaic.fl.data.pictures import decode
from mosaic.fl.data.source import SPLITS, Images
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.home import expanded
from mosaic.fl.rng import numpy_stream

_sealed = False  # whether loading a test split is an error


def use_data_dir(path: str | os.PathLike | None) -> Path | None:
    """Look for data in this folder only, in this process and in those it starts.

    Args:
        path: the folder; data sets are downloaded into it. None: the one that MOSAIC_DATA names,
            if it names one.

    Returns:
        The absolute path; None if none was given.

    Raises:
        InputError: there is no such folder.
    """
    if path is None:
        _data_dir()
        return None
    folder = expanded(path).absolute()
    _check_folder(folder, "--data-dir")
    os.environ["MOSAIC_DATA"] = str(folder)
    return folder


def _data_dir() -> str | None:
    """The folder that MOSAIC_DATA names; None if it names none.

    Raises:
        InputError: there is no such folder.
    """
    named = os.environ.get("MOSAIC_DATA")
    if not named:
        return None
    folder = expanded(named).absolute()
    _check_folder(folder, "MOSAIC_DATA")
    return str(folder)


def _check_folder(folder: Path, named_by: str) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise InputError(f"the data dir {folder} ({named_by}) is a file: give a folder.")
    raise InputError(
        f"the data dir {folder} ({named_by}) does not exist. Give the folder that has the data; or "
        f"make it (mkdir -p {folder}), and data sets are downloaded into it; or leave it out."
    )


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
        InputError: the name is unknown, the data are absent or damaged, or the folder that was
            named for them does not exist.
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
    return _load(name, split, _data_dir())


def load_checked(name: str, split: str, expected: str) -> Images:
    """Load a split of a data set that must be the one that a key names.

    Args:
        name: one of DATASETS.
        split: "train" or "test".
        expected: the split's :func:`fingerprint`; "": any.

    Raises:
        InputError: the split is another one.
    """
    images = load(name, split)
    if expected and fingerprint(images) != expected:
        raise InputError(
            f"other data: the {split} images of {name} in {place_of(name)} have the fingerprint "
            f"{fingerprint(images)}, but this run was planned for {expected}. They have changed "
            "since, or this machine has others: give all machines the same data, and start the "
            "command again."
        )
    return images


def is_here(name: str, split: str) -> bool:
    """Whether a split of a data set can be loaded without a download."""
    check_name(name)
    if not DATASETS[name].files:
        return True
    return locate(name, split, _data_dir()) is not None


def place_of(name: str) -> str:
    """Where the files of a data set are; "" if they are not on this machine."""
    source = DATASETS[name]
    if not source.files:
        return source.place
    located = [locate(name, split, _data_dir()) for split in SPLITS]
    return " and ".join(dict.fromkeys(str(found[1]) for found in located if found))


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


_fingerprints: WeakKeyDictionary[Images, str] = WeakKeyDictionary()


def fingerprint(images: Images) -> str:
    """16 hex digits of the SHA-256 of the shape, the pixels and the labels."""
    if images not in _fingerprints:
        _fingerprints[images] = _fingerprint(images)
    return _fingerprints[images]


def _fingerprint(images: Images) -> str:
    pixels = images.images.contiguous().numpy()
    labels = images.labels.numpy().astype("<i8")
    digest = hashlib.sha256(repr(tuple(images.images.shape)).encode())
    digest.update(pixels.data)
    digest.update(labels.data)
    return digest.hexdigest()[:16]
