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
    """The test split is the labelled `val`: the labels of the archive's own `test` were never published."""
    wnids = folder / "wnids.txt"
    with reading(wnids):
        labels = {wnid: k for k, wnid in enumerate(wnids.read_text().split())}
        if len(labels) != source.n_classes:
            raise ValueError(f"it names {len(labels)} classes, not {source.n_classes}")
    if split == "test":
        annotations = folder / "val" / "val_annotations.txt"
        with reading(annotations):
            rows = [line.split("\t")[:2] for line in annotations.read_text().splitlines()]
            if wrong := [row for row in rows if len(row) < 2 or row[1] not in labels]:
                raise ValueError(
                    f"it says {wrong[0]} where a file and one of the classes of wnids.txt should be"
                )
            n_files = len(list((folder / "val" / "images").glob("*.JPEG")))
            if len(rows) != n_files:
                raise ValueError(f"it labels {len(rows)} images, but there are {n_files}")
            return _pair([(folder / "val" / "images" / file, labels[wnid]) for file, wnid in rows])
    pairs = []
    for wnid, label in labels.items():
        images = folder / "train" / wnid / "images"
        with reading(images):
            files = sorted(path for path in images.iterdir() if path.suffix == ".JPEG")
            if not files:
                raise ValueError("it has no .JPEG")
            pairs += [(path, label) for path in files]
    return _pair(pairs)


def list_food101(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    listing = folder / source.files[split][0]
    with reading(listing):
        names = json.loads(listing.read_text())
        if len(names) != source.n_classes:
            raise ValueError(f"it names {len(names)} classes, not {source.n_classes}")
        images = folder / "images"
        return _pair(
            [
                (images / f"{file}.jpg", k)
                for k, name in enumerate(sorted(names))
                for file in names[name]
            ]
        )


def _pair(pairs: list[tuple[Path, int]]) -> tuple[np.ndarray, np.ndarray]:
    if not pairs:
        raise ValueError("it lists no images")
    paths, labels = zip(*pairs, strict=True)
    return np.array(paths, dtype=object), np.array(labels, np.int64)


def decode(paths: np.ndarray, size: int, cache_dir: Path, name: str) -> np.ndarray:
    """Pictures (N,) as one array uint8 (N, 3, size, size), decoded once into a file that is then mapped into memory.

    A picture of another shape is resized to the square whole, its aspect ratio not kept.
    """
    from PIL import Image  # slow to import, and needed only here

    digest = hashlib.sha256("\n".join(path.as_posix() for path in paths).encode()).hexdigest()[:16]
    cache = cache_dir / f"{name}-{size}-{digest}.npy"
    shape = (len(paths), 3, size, size)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.with_suffix(".lock")):
        if (mapped := _map(cache, shape)) is not None:
            return mapped
        aside = cache.with_suffix(".partial")
        try:
            array = np.lib.format.open_memmap(aside, "w+", np.uint8, shape)
            for row, path in zip(array, paths, strict=True):
                with reading(path), Image.open(path) as picture:
                    picture.draft(
                        "RGB", (2 * size, 2 * size)
                    )  # large JPEGs are decoded at a fraction of their size
                    square = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
                    row[:] = np.asarray(square).transpose(2, 0, 1)
            array.flush()
            os.replace(aside, cache)
        finally:
            aside.unlink(missing_ok=True)
    return _map(cache, shape)


def _map(cache: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array, copied on write so that torch may have it; None if it is absent, or not whole."""
    try:
        array = np.load(cache, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None
