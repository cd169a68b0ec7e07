"""Read somebody's own images from an .npz file of arrays."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from mosaic.fl.data.layouts import N_LISTED
from mosaic.fl.data.shapes import CHANNELS, SIZE_RULE, size_fits
from mosaic.fl.data.source import SPLITS
from mosaic.fl.errors import InputError

BEGINNINGS = (b"PK", b"\x93N")
"""Of .npz files, which are zip archives, and of .npy files, which have a single array."""

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
KERAS = ("x_train", "y_train", "x_test", "y_test")  # its names for the same


def read_npz(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read and check the arrays `train_images`, `train_labels`, `test_images`, `test_labels`.

    Images are uint8 and square, (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3. Labels
    are integers 0..K-1, (N,) or (N, 1). Other arrays in the file are ignored. The files of MedMNIST
    with one label per image have this form. The files of Keras, whose arrays are called `x_train`,
    `y_train`, `x_test` and `y_test`, are read too.

    Args:
        path: a file written by `numpy.savez` or `numpy.savez_compressed`.

    Returns:
        For "train" and "test" the images, uint8 (N, C, S, S), and their labels, int64 (N,).

    Raises:
        InputError: the file cannot be read, or an array is missing or of another form.
    """
    try:
        with open(path, "rb") as file:
            arrays = _load_arrays(path, file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}.") from error

    splits = {}
    for split in SPLITS:
        images = _images(path, f"{split}_images", arrays[f"{split}_images"])
        labels = _labels(path, f"{split}_labels", arrays[f"{split}_labels"])
        if len(images) != len(labels):
            raise InputError(
                f"{path}: {split}_images has {len(images)} images, but {split}_labels has "
                f"{len(labels)} labels. Give one label per image."
            )
        splits[split] = images, labels

    _check_same_shape(path, splits["train"][0], splits["test"][0])
    _check_classes(path, splits["train"][1], splits["test"][1])
    return splits


def _load_arrays(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    """The four arrays as they are in the open file; `path` is for what is said of it."""
    if file.read(2) not in BEGINNINGS:  # NumPy would take it for a pickle, and say how to open it
        raise InputError(
            f"cannot read {path}: it is no .npz file, by its first bytes. Write it with "
            f"numpy.savez ({_needed()}), or copy it again."
        )
    file.seek(0)
    try:
        archive = np.load(file, allow_pickle=False)
    except Exception as error:  # damaged archives raise errors of any kind
        raise InputError(
            f"cannot read {path}: {error}. Write it with numpy.savez, or copy it again."
        ) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"{path} has a single array. Write it with numpy.savez: {_needed()}.")

    arrays = {}
    with archive:
        of_keras = set(KERAS) <= set(archive.files)
        for name, keras_name in zip(ARRAYS, KERAS, strict=True):
            if name not in archive.files and not of_keras:
                raise _no_array(path, name, archive.files)
            try:
                arrays[name] = archive[keras_name if of_keras else name]
            except Exception as error:
                raise InputError(
                    f"{path}: cannot read {name}: {error}. It must be one array of numbers, not "
                    "a list of arrays of different sizes; if the file is damaged, copy it again."
                ) from error
    return arrays


def _needed() -> str:
    return f"the arrays {', '.join(ARRAYS)}"


def _no_array(path: Path, name: str, there: list[str]) -> InputError:
    has = ", ".join(there[:N_LISTED]) or "none"
    text = f"{path} has no array {name!r}. It has {has}, but needs {_needed()}."
    if name.startswith("test"):
        text += " Set a part of the training images aside for testing, for example every fifth."
    return InputError(text)


def _images(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    """The images as uint8 (N, C, S, S), checked."""
    if images.dtype != np.uint8:
        kind = str(images.dtype)
        if images.dtype.kind == "f" and np.isnan(images).any():
            kind += " with NaN"
        raise InputError(
            f"{path}: {name} is {kind}, not uint8. Scale the pixels to 0..255, round them and "
            "convert them with .astype(numpy.uint8)."
        )

    channels_first = _channels_first(images)
    if channels_first is None or not len(images):
        raise InputError(
            f"{path}: {name} has the shape {images.shape}. It must be (N, H, W), (N, H, W, C) or "
            "(N, C, H, W), with at least one image and C = 1 or 3."
        )

    height, width = channels_first.shape[2:]
    if height != width or not size_fits(height):
        raise InputError(
            f"{path}: the images of {name} are of {height} x {width} pixels. {SIZE_RULE}: "
            "crop or resize them, for example to 32 x 32."
        )
    return np.ascontiguousarray(channels_first)


def _channels_first(images: np.ndarray) -> np.ndarray | None:
    """A view of shape (N, C, H, W), or None if the shape is not that of images."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4:
        return None
    if images.shape[3] in CHANNELS:
        return images.transpose(0, 3, 1, 2)
    if images.shape[1] in CHANNELS:
        return images
    return None


def _labels(path: Path, name: str, labels: np.ndarray) -> np.ndarray:
    """The labels as int64 (N,), checked but for their range."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"{path}: {name} has the shape {labels.shape}. Give one label per image: (N,). "
            "If each row has a 1 in the place of its class, that is labels.argmax(axis=1)."
        )
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: {name} is {labels.dtype}, not of integers. "
            "Number the classes 0..K-1 and convert the labels with .astype(int)."
        )

    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(
            f"{path}: {name} has the shape {labels.shape}. Give one label per image: (N,)."
        )
    return labels.astype(np.int64)


def _check_same_shape(path: Path, train: np.ndarray, test: np.ndarray) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"{path}: training images are {train.shape[1:]} (channels, height, width), test images "
            f"{test.shape[1:]}. Convert them to the same shape."
        )


def _check_classes(path: Path, train: np.ndarray, test: np.ndarray) -> None:
    """Training labels must be exactly 0..K-1, with K of at least 2, and test labels within them."""
    classes = np.unique(train)
    least = min(classes[0], test.min())
    if least < 0:
        raise InputError(f"{path} has the label {least}. Number the classes 0..K-1.")

    # The first label that is missing among the training images is K, if the rest is in order.
    n_classes = len(classes)
    largest = max(classes[-1], test.max())
    if largest >= n_classes:
        absent = np.setdiff1d(np.arange(n_classes + 1), classes)[0]
        from_1 = classes[0] == 1 and classes[-1] == largest == n_classes
        hint = " They are numbered from 1: subtract 1." if from_1 else ""
        raise InputError(
            f"{path} has labels up to {largest}, but no training image of class {absent}. "
            f"Number the classes 0..K-1 without gaps, each with training images.{hint}"
        )
    if n_classes < 2:
        raise InputError(f"{path} has images of a single class; at least 2 classes are needed.")
