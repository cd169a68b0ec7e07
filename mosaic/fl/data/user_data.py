"""Add the user's own data sets to DATASETS: an image folder, an .npz file, or a function."""

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mosaic.fl.data.array_file import read_npz
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.image_folder import read_image_folder
from mosaic.fl.data.layouts import SUFFIXES_OF_ARCHIVES
from mosaic.fl.data.loading import fingerprint
from mosaic.fl.data.readers import checked_arrays
from mosaic.fl.data.shapes import CHANNELS, SIZE_RULE, size_fits
from mosaic.fl.data.source import SPLITS, Images, Source
from mosaic.fl.errors import InputError
from mosaic.fl.home import expanded

Splits = dict[str, tuple[np.ndarray, np.ndarray]]
"""Images, uint8 (N, C, S, S), and labels, int64 (N,), of "train" and "test"."""

RESERVED = ("held_out", "noise")  # what methods call proxy images that are not a data set


def register_data(path: str | Path) -> str:
    """Read somebody's own images and add them to DATASETS. The images are kept in memory.

    The name depends on the decoded pixels and labels only, so the same images have the same name
    wherever they are, and results computed from other images are never mistaken for theirs. It is
    fine to register the same images twice. Another process has to call this function itself. The
    pixels of JPEGs and of resized pictures may depend on the version of Pillow; others do not.

    Training images are not augmented (see :func:`register_dataset` for that).

    Args:
        path: an image folder (see `read_image_folder`, which also states how pictures are
            resized) or an .npz file (see `read_npz`).

    Returns:
        The data set's name for `Task.dataset`: "user-" and 16 hex digits. For tables there is
        `display_name`, "<name of the folder or file>-<first 6 hex digits>".

    Raises:
        InputError: the path has no images in one of the two forms.
    """
    path = expanded(path).absolute()
    splits = _read(path)

    digits = _content_hash(splits)
    name = f"user-{digits}"
    if name not in DATASETS:
        _, channels, size, _ = splits["train"][0].shape
        stem = path.stem if path.suffix.lower() == ".npz" else path.name
        DATASETS[name] = Source(
            channels=channels,
            size=size,
            n_classes=int(splits["train"][1].max()) + 1,
            augment=False,
            read=partial(_from_memory, splits),
            label=f"{_file_name(stem)}-{digits[:6]}",
            place=str(path),
        )
    return name


def register_dataset(
    name: str,
    load: Callable[[str], tuple[np.ndarray, np.ndarray]],
    *,
    channels: int,
    size: int,
    n_classes: int,
    augment: bool = False,
) -> None:
    """Add a data set that a function of yours loads.

    Another process has to call this function itself.

    Args:
        name: its name for `Task.dataset`, not yet in DATASETS: letters, digits, "_" and "-",
            beginning with a letter.
        load: maps "train" or "test" to images, uint8 (N, C, S, S), and integer labels (N,). It is
            called once per split and process, when the split is first used, and checked then.
        channels: C, 1 or 3.
        size: S, at least 8 and a multiple of 4.
        n_classes: K, at least 2; labels are 0..K-1.
        augment: whether clients train on random crops and mirror images.

    Raises:
        InputError: an argument is out of its range, or the name is taken.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise InputError(
            f"{name!r} cannot be the name of a data set: use letters, digits, '_' and '-', "
            "and begin with a letter."
        )
    if name in DATASETS or name in RESERVED:
        raise InputError(f"the name {name!r} is taken. Choose another one for your data set.")
    if channels not in CHANNELS:
        raise InputError(f"{name}: channels is {channels}; possible: 1 (grey) or 3 (RGB).")
    if not size_fits(size):
        raise InputError(f"{name}: size is {size}. {SIZE_RULE}.")
    if n_classes < 2:
        raise InputError(f"{name}: n_classes is {n_classes}; at least 2 are needed.")

    DATASETS[name] = Source(
        channels=channels,
        size=size,
        n_classes=n_classes,
        augment=augment,
        read=partial(_from_function, name, load),
        place=f"the function {getattr(load, '__qualname__', type(load).__qualname__)}",
    )


def _read(path: Path) -> Splits:
    """The images of a folder or of an .npz file."""
    if path.is_dir():
        try:
            return read_image_folder(path)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error}.") from error
    if not path.exists():
        raise InputError(f"there is no {path}. Give an image folder or an .npz file.")
    if path.name.lower().endswith(SUFFIXES_OF_ARCHIVES):
        raise InputError(f"{path} is an archive: unpack it, and give its folder.")
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path} is neither a folder nor an .npz file. Give one of the two.")
    return read_npz(path)


def _content_hash(splits: Splits) -> str:
    """16 hex digits of the pixels and labels of both splits."""
    digest = hashlib.sha256()
    for split in SPLITS:
        images, labels = splits[split]
        # The name and the number of classes are not part of a fingerprint.
        both = Images("", torch.from_numpy(images), torch.from_numpy(labels), n_classes=0)
        digest.update(fingerprint(both).encode())
    return digest.hexdigest()[:16]


def _file_name(text: str) -> str:
    """The text with what may be awkward in the name of a file replaced: figures use labels."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "data"


def _from_memory(
    splits: Splits, folder: Path, split: str, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """`Source.read` of images that are in memory."""
    return splits[split]


def _from_function(
    name: str, load: Callable, folder: Path, split: str, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """`Source.read` of images that the user's function loads."""
    where = f"data set {name!r}, split {split!r}"
    loaded = load(split)
    if not isinstance(loaded, (tuple, list)) or len(loaded) != 2:
        raise InputError(f"{where}: its function must return a pair (images, labels).")

    images = np.asarray(loaded[0])
    labels = np.asarray(loaded[1])
    if labels.dtype.kind not in "iu":
        raise InputError(f"{where}: its labels are {labels.dtype}. Return integers 0..K-1.")
    try:
        images, labels = checked_arrays(images, labels, source)
    except ValueError as error:
        raise InputError(f"{where}: {error}. Change what its function returns.") from error

    # torch wants arrays that are writable and without negative strides.
    return np.require(images, requirements=["C", "W"]), labels
