"""Load a split of a data set, once a process."""

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
from mosaic.fl.rng import numpy_stream

_sealed = False


def use_data_dir(path: str | os.PathLike | None) -> None:
    """Look for data in `path` first, here and in processes started from here; None changes nothing.

    InputError if it is a file. A folder that does not exist is made when something is downloaded into it.
    """
    if path is not None:
        folder = Path(path).expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise InputError(f"the data dir {folder} is a file: give a folder")
        os.environ["MOSAIC_DATA"] = str(folder)


def load(name: str, split: str) -> Images:
    """The "train" or "test" split of a data set, found or downloaded once and then kept in memory.

    The test split comes in a fixed random order: BatchNorm on batch statistics must not meet the classes one by one.
    Loading one split never opens the files of the other. InputError where the data are absent or damaged.
    """
    check_name(name)
    if split not in SPLITS:
        raise did_you_mean("split", split, SPLITS)
    if split == "test" and _sealed:
        raise RuntimeError(
            f"the test set of {name} was asked for while it is sealed: tuning uses validation images"
        )
    return _load(name, split, os.environ.get("MOSAIC_DATA"))


@contextmanager
def sealed_test_set() -> Iterator[None]:
    """Inside the block nobody in this process can load a test split: a RuntimeError. For tuning."""
    global _sealed
    before, _sealed = _sealed, True
    try:
        yield
    finally:
        _sealed = before


@lru_cache(maxsize=8)
def _load(name: str, split: str, data_dir: str | None) -> Images:
    source = DATASETS[name]
    root, folder = find_split(name, split, data_dir) if source.files else (Path(), Path())
    images, labels = source.read(folder, split, source)
    if split == "test":
        order = numpy_stream("test order", name).permutation(len(labels))
        images, labels = images[order], labels[order]
    if source.pictures:
        images = decode(
            images, source.size, writable_root(root) / ".mosaic-cache", f"{name}-{split}"
        )
    return Images(name, torch.from_numpy(images), torch.from_numpy(labels), source.n_classes)


def fingerprint(images: Images) -> str:
    """16 hex digits of the sha256 of the shape, the pixels and the labels."""
    digest = hashlib.sha256(repr(tuple(images.images.shape)).encode())
    digest.update(images.images.contiguous().numpy())
    digest.update(images.labels.numpy().astype("<i8"))
    return digest.hexdigest()[:16]
