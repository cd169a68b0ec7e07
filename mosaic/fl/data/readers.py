"""Readers of the data sets that are files of arrays: digits, MNIST's IDX format, SVHN and CIFAR."""

import gzip
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mosaic.fl.data.array_pickle import unpickle
from mosaic.fl.data.layouts import find_file, what_lies_in
from mosaic.fl.data.source import Source
from mosaic.fl.data.splits import stratify
from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in the error if reading or checking it fails.

    Damaged pickles, .mat files and JPEGs raise errors of any kind.

    Raises:
        InputError: instead of any error in the block.
    """
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, ValueError | OSError):
            reason = str(error)
        if isinstance(error, FileNotFoundError):
            reason = f"No such file: {what_lies_in(path.parent)}"
        raise InputError(
            f"cannot use {path}: {reason}. Copy it again from where it came, "
            "or remove its folder, so that the data set is looked for elsewhere or downloaded."
        ) from error


def checked_arrays(
    images: np.ndarray, labels: np.ndarray, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Check that arrays are images and labels of a data set.

    Args:
        images: should be uint8 (N, C, S, S).
        labels: should be integers 0..K-1, (N,).
        source: has C, S and K.

    Returns:
        The images, and the labels as int64.

    Raises:
        ValueError: they are not.
    """
    shape = (source.channels, source.size, source.size)
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(f"its images are {images.dtype} {images.shape[1:]}, not uint8 {shape}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"its labels are {labels.dtype}, not integers")
    if labels.shape != (len(images),) or not len(images):
        raise ValueError(f"it has {len(images)} images and {labels.size} labels")
    if labels.min() < 0 or labels.max() >= source.n_classes:
        raise ValueError(
            f"its labels are {labels.min()}..{labels.max()}, not within 0..{source.n_classes - 1}"
        )
    return images, labels.astype(np.int64)


def read_digits(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Read scikit-learn's 1797 digits, their pixels 0..16 scaled to 0..255.

    The test split is a fixed, stratified fifth.
    """
    from sklearn.datasets import load_digits  # slow to import, and needed by nothing else

    pixels, digits = load_digits(return_X_y=True)  # (1797, 64), (1797,)
    images = np.round(np.asarray(pixels) * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = np.asarray(digits)
    train, test = stratify(labels, 0.2, numpy_stream("digits", "test split"))
    chosen = train if split == "train" else test
    return checked_arrays(images[chosen], labels[chosen], source)


def read_mnist(
    folder: Path, split: str, source: Source, other: str
) -> tuple[np.ndarray, np.ndarray]:
    """Read MNIST or Fashion-MNIST.

    Args:
        folder: has the files of the split, plain or as .gz.
        split: "train" or "test".
        source: of the data set to read.
        other: the name of the other one, whose files have the same names.

    Returns:
        Images, uint8 (N, 1, 28, 28), and labels, int64 (N,).

    Raises:
        InputError: a file is damaged, or of the other data set.
    """
    images_file, labels_file = (find_file(folder, file) for file in source.files[split])
    with reading(images_file):
        images = read_idx(images_file, 3)[:, None]  # (N, 1, 28, 28)
    with reading(labels_file):
        labels = read_idx(labels_file, 1)
        if labels[:10].tolist() == FIRST_LABELS[other][split]:
            raise ValueError(f"it holds {other}, whose files have the same names")
        return checked_arrays(images, labels, source)


def read_idx(path: Path, n_dims: int) -> np.ndarray:
    """Read an array of bytes in the IDX format.

    The format: 0, 0, 8 (for bytes), n_dims, each length as a big-endian int32, the bytes.

    Raises:
        ValueError, OSError: the file is damaged, or has another number of dimensions.
    """
    content = read_maybe_gz(path)
    start = 4 + 4 * n_dims
    if content[:4] != bytes([0, 0, 8, n_dims]) or len(content) < start:
        raise ValueError(f"it does not begin as an IDX file of {n_dims} dimensions")
    shape = struct.unpack(f">{n_dims}I", content[4:start])
    if len(content) - start != np.prod(shape, dtype=object):
        raise ValueError(f"it says that it holds {shape}, but has {len(content) - start} bytes")

    array = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    return array.copy()  # writable, as torch wants it


def read_maybe_gz(path: Path) -> bytes:
    """The content of a file, unpacked if it is compressed: its name does not always tell."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    return content


def read_svhn(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Read a split of SVHN from its .mat file."""
    from scipy.io import loadmat  # slow to import, and needed by nothing else

    path = find_file(folder, source.files[split][0])
    with reading(path):
        try:
            content = loadmat(BytesIO(read_maybe_gz(path)), variable_names=["X", "y"])
        except NotImplementedError:
            raise ValueError("it has MATLAB's format 7.3; save it with -v7") from None
        if not {"X", "y"} <= content.keys():
            raise ValueError("it does not have the variables X (32, 32, 3, N) and y")
        images = content["X"].transpose(3, 2, 0, 1)  # (32, 32, 3, N) to (N, 3, 32, 32)
        labels = content["y"].ravel().astype(np.int64)
        labels = np.where(labels == 10, 0, labels)  # in the file, the digit 0 has the label 10
        return checked_arrays(np.ascontiguousarray(images), labels, source)


def read_cifar(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Read a split of CIFAR-10 or CIFAR-100 (its 100 fine classes) from the authors' pickles."""
    images = []
    labels = []
    for name in source.files[split]:
        file = find_file(folder, name)
        with reading(file):
            batch_images, batch_labels = _cifar_batch(unpickle(read_maybe_gz(file)))
            batch_images, batch_labels = checked_arrays(batch_images, batch_labels, source)
        images.append(batch_images)
        labels.append(batch_labels)
    return np.concatenate(images), np.concatenate(labels)


def _cifar_batch(batch: Any) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, 3, 32, 32) and labels of a pickle, its keys being str or bytes."""
    if not isinstance(batch, dict):
        raise ValueError(f"it has a {type(batch).__name__}, not a dictionary")
    batch = {key.decode() if isinstance(key, bytes) else key: batch[key] for key in batch}
    labels = batch.get("fine_labels", batch.get("labels"))
    if labels is None or "data" not in batch:
        raise ValueError(f"it has {sorted(batch)}, but not 'data' and 'labels' or 'fine_labels'")

    pixels = np.asarray(batch["data"])
    if pixels.shape[1:] == (32, 32, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    elif pixels.shape[1:] == (3072,):
        pixels = pixels.reshape(-1, 3, 32, 32)
    return np.require(pixels, requirements=["C", "W"]), np.asarray(labels)


# The first labels of MNIST and Fashion-MNIST, to tell their files from each other.
FIRST_LABELS = {
    "mnist": {
        "train": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
        "test": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
    },
    "fashion_mnist": {
        "train": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5],
        "test": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
    },
}
