"""List the pictures, and their labels, of the data sets that are folders of pictures."""

import json
from pathlib import Path

import numpy as np

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
