"""Readers of the data sets that are files of arrays: digits, MNIST's IDX format, SVHN and CIFAR."""

import gzip
import pickle
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mosaic.fl.data.source import Source
from mosaic.fl.data.splits import stratify
from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream


def plain_or_gz(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() and not path.is_file() else path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of which file it is that reading or checking it failed. Damaged pickles, .mat and JPEGs raise anything."""
    try:
        yield
    except Exception as error:
        reason = (
            error if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        )
        raise InputError(
            f"cannot use {path}: {reason}. Copy it again from where it came, "
            "or remove its folder, so that the data set is looked for elsewhere or downloaded."
        ) from error


def checked_arrays(
    images: np.ndarray, labels: np.ndarray, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    shape = (source.channels, source.size, source.size)
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(f"its images are {images.dtype} {images.shape[1:]}, not uint8 {shape}")
    if labels.shape != (len(images),) or not len(images):
        raise ValueError(f"it has {len(images)} images and {labels.size} labels")
    if labels.min() < 0 or labels.max() >= source.n_classes:
        raise ValueError(
            f"its labels are {labels.min()}..{labels.max()}, not within 0..{source.n_classes - 1}"
        )
    return images, labels.astype(np.int64)


def read_digits(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1797 digits, their pixels 0..16 scaled to 0..255. The test split is a fixed, stratified fifth."""
    from sklearn.datasets import load_digits  # slow to import, and needed by nothing else

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)
    train, test = stratify(digits.target, 0.2, numpy_stream("digits", "test split"))
    chosen = train if split == "train" else test
    return checked_arrays(images[chosen], digits.target[chosen], source)


def read_mnist(
    folder: Path, split: str, source: Source, other: str
) -> tuple[np.ndarray, np.ndarray]:
    images_file, labels_file = (plain_or_gz(folder / file) for file in source.files[split])
    with reading(images_file):
        images = read_idx(images_file, 3)[:, None]  # (N, 1, 28, 28)
    with reading(labels_file):
        labels = read_idx(labels_file, 1)
        if labels[:10].tolist() == FIRST_LABELS[other][split]:
            raise ValueError(f"it holds {other}, whose files have the same names")
        return checked_arrays(images, labels, source)


def read_idx(path: Path, n_dims: int) -> np.ndarray:
    """An array of bytes in the IDX format: 0, 0, 8 (bytes), n_dims, each length as a big-endian int32, the bytes."""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        content = file.read()
    start = 4 + 4 * n_dims
    if content[:4] != bytes([0, 0, 8, n_dims]) or len(content) < start:
        raise ValueError(f"it does not begin as an IDX file of {n_dims} dimensions")
    shape = struct.unpack(f">{n_dims}I", content[4:start])
    if len(content) - start != np.prod(shape, dtype=object):
        raise ValueError(f"it says that it holds {shape}, but has {len(content) - start} bytes")
    return (
        np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
    )  # a copy, for torch wants it writable


def read_svhn(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    from scipy.io import loadmat  # slow to import, and needed by nothing else

    path = folder / source.files[split][0]
    with reading(path):
        content = loadmat(path, variable_names=["X", "y"])
        images = np.ascontiguousarray(
            content["X"].transpose(3, 2, 0, 1)
        )  # (32, 32, 3, N) to (N, 3, 32, 32)
        labels = content["y"].ravel().astype(np.int64)
        return checked_arrays(
            images, np.where(labels == 10, 0, labels), source
        )  # the file's 10 is the digit 0


def read_cifar(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    batches = []
    for file in source.files[split]:
        with reading(folder / file), open(folder / file, "rb") as opened:
            batch = _ArrayUnpickler(opened, encoding="latin1").load()
            labels = batch["labels"] if "labels" in batch else batch["fine_labels"]
            batches.append(
                checked_arrays(batch["data"].reshape(-1, 3, 32, 32), np.array(labels), source)
            )
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, and refuses what else a pickle may call: a downloaded file is not a program to run."""

    # Python 2 wrote the flags of a dtype as 0 and 1, of which numpy warns; so only its letters are taken.
    known = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": lambda letters, *flags: np.dtype(letters),
        "encode": lambda text, encoding: text.encode(encoding),
    }

    def find_class(self, module: str, name: str) -> Callable:
        if module.split(".")[0] not in ("numpy", "_codecs") or name not in self.known:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which no CIFAR file does")
        return self.known[name]


# How the labels of the two begin, by which a folder of the one is not taken for the other.
FIRST_LABELS = {
    "mnist": {"train": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "test": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]},
    "fashion_mnist": {
        "train": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5],
        "test": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
    },
}
