"""Data sets that are folders of pictures: Tiny ImageNet and Food-101."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from mosaic.fl.data.readers import reading
from mosaic.fl.data.source import Source


def list_tiny_imagenet(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """List the pictures of Tiny ImageNet and their labels.

    The test split is the archive's labelled `val`, because the labels of its `test` were never
    published.

    Args:
        folder: the unpacked archive.
        split: "train" or "test".
        source: of the data set.

    Returns:
        Paths, object (N,), and labels, int64 (N,).

    Raises:
        InputError: a list is damaged or incomplete.
    """
    wnids = folder / "wnids.txt"
    with reading(wnids):
        labels = {wnid: k for k, wnid in enumerate(wnids.read_text().split())}
        if len(labels) != source.n_classes:
            raise ValueError(f"it names {len(labels)} classes, not {source.n_classes}")

    if split == "test":
        return _tiny_imagenet_test(folder / "val", labels)

    pairs = []
    for wnid, label in labels.items():
        images = folder / "train" / wnid / "images"
        with reading(images):
            files = sorted(path for path in images.iterdir() if path.suffix == ".JPEG")
            if not files:
                raise ValueError("it has no .JPEG")
            pairs += [(path, label) for path in files]
    return _pair(pairs)


def _tiny_imagenet_test(folder: Path, labels: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and labels of the folder `val`; `labels` has the number of each class."""
    annotations = folder / "val_annotations.txt"
    with reading(annotations):
        rows = [line.split("\t")[:2] for line in annotations.read_text().splitlines()]
        if wrong := [row for row in rows if len(row) < 2 or row[1] not in labels]:
            raise ValueError(
                f"it says {wrong[0]} where a file and one of the classes of wnids.txt should be"
            )
        n_files = len(list((folder / "images").glob("*.JPEG")))
        if len(rows) != n_files:
            raise ValueError(f"it labels {len(rows)} images, but there are {n_files}")
        return _pair([(folder / "images" / file, labels[wnid]) for file, wnid in rows])


def list_food101(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """List the pictures of Food-101 and their labels.

    Args:
        folder: the unpacked archive.
        split: "train" or "test".
        source: of the data set.

    Returns:
        Paths, object (N,), and labels, int64 (N,).

    Raises:
        InputError: the list is damaged or incomplete.
    """
    listing = folder / source.files[split][0]
    with reading(listing):
        files = json.loads(listing.read_text())
        if len(files) != source.n_classes:
            raise ValueError(f"it names {len(files)} classes, not {source.n_classes}")

        pairs = []
        for label, name in enumerate(sorted(files)):
            for file in files[name]:
                pairs.append((folder / "images" / f"{file}.jpg", label))
        return _pair(pairs)


def _pair(pairs: list[tuple[Path, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Paths and labels as two arrays (N,)."""
    if not pairs:
        raise ValueError("it lists no images")
    paths, labels = zip(*pairs, strict=True)
    return np.array(paths, dtype=object), np.array(labels, np.int64)


def decode(paths: np.ndarray, size: int, cache_dir: Path, name: str) -> np.ndarray:
    """Decode pictures once into a file, which is then mapped into memory.

    A picture of another shape is resized whole to the square, its aspect ratio not kept.

    Args:
        paths: of the pictures, (N,).
        size: height and width of the images.
        cache_dir: folder for the file; it is created.
        name: how the file's name begins.

    Returns:
        RGB images, uint8 (N, 3, size, size).

    Raises:
        InputError: a picture cannot be read.
    """
    digest = hashlib.sha256("\n".join(path.as_posix() for path in paths).encode()).hexdigest()
    cache = cache_dir / f"{name}-{size}-{digest[:16]}.npy"
    shape = (len(paths), 3, size, size)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.with_suffix(".lock")):
        mapped = _map(cache, shape)
        if mapped is None:
            _decode_into(cache, paths, shape)
            mapped = _map(cache, shape)
    if mapped is None:
        raise OSError(f"{cache} cannot be read, although it has just been written")
    return mapped


def _decode_into(cache: Path, paths: np.ndarray, shape: tuple[int, int, int, int]) -> None:
    """Write the decoded pictures to a temporary file, and rename it once complete."""
    from PIL import Image  # slow to import, and needed only here

    size = shape[-1]
    aside = cache.with_suffix(".partial")
    try:
        array = np.lib.format.open_memmap(aside, "w+", np.uint8, shape)
        for row, path in zip(array, paths, strict=True):
            with reading(path), Image.open(path) as picture:
                # A large JPEG is decoded at a fraction of its size, which is much faster.
                picture.draft("RGB", (2 * size, 2 * size))
                square = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
                row[:] = np.asarray(square).transpose(2, 0, 1)
        array.flush()
        os.replace(aside, cache)
    finally:
        aside.unlink(missing_ok=True)


def _map(cache: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array, copied on write as torch needs it; None if it is absent or incomplete."""
    try:
        array = np.load(cache, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    if array.shape != shape or array.dtype != np.uint8:
        return None
    return array
