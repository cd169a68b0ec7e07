"""List the pictures, and their labels, of the data sets that are folders of pictures."""

import json
import re
from pathlib import Path

import numpy as np

from mosaic.fl.data.layouts import find_file, visible
from mosaic.fl.data.readers import reading
from mosaic.fl.data.source import Source

SUFFIXES = (".jpeg", ".jpg", ".png")


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
        labels = {wnid: k for k, wnid in enumerate(_text(wnids).split())}
        if len(labels) != source.n_classes:
            raise ValueError(f"it names {len(labels)} classes, not {source.n_classes}")

    if split == "test":
        return _tiny_imagenet_test(folder / "val", labels)
    return _pair(_in_class_folders(folder / "train", labels))


def _tiny_imagenet_test(folder: Path, labels: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and labels of the folder `val`; `labels` has the number of each class.

    The pictures lie in the folder `images` and a list has their classes, or somebody has sorted
    them into class folders. They have the same order in both.
    """
    images = folder / "images"
    files = {path.stem: path for path in _pictures(images)} if images.is_dir() else {}
    if not files and any((folder / wnid).is_dir() for wnid in labels):
        return _pair(sorted(_in_class_folders(folder, labels), key=lambda pair: _number(pair[0])))

    annotations = folder / "val_annotations.txt"
    with reading(annotations):
        lines = [line for line in _text(annotations).splitlines() if line.strip()]
        rows = [line.split("\t")[:2] for line in lines]
        if wrong := [row for row in rows if len(row) < 2 or row[1] not in labels]:
            raise ValueError(
                f"it says {wrong[0]} where a file and one of the classes of wnids.txt should be"
            )
        if len(rows) != len(files):
            raise ValueError(f"it labels {len(rows)} images, but there are {len(files)}")
        if absent := [file for file, _ in rows if Path(file).stem not in files]:
            raise ValueError(f"it labels {absent[0]}, which is not in {images}")
        return _pair([(files[Path(file).stem], labels[wnid]) for file, wnid in rows])


def _in_class_folders(folder: Path, labels: dict[str, int]) -> list[tuple[Path, int]]:
    """The pictures <class>/images/* or <class>/* and their labels, sorted by class and name."""
    pairs = []
    for name, label in labels.items():
        images = folder / name
        if (images / "images").is_dir():
            images = images / "images"
        with reading(images):
            files = _pictures(images)
            if not files:
                raise ValueError("it has no .JPEG")
        pairs += [(path, label) for path in files]
    return pairs


def _pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, sorted by name."""
    return [path for path in visible(folder) if path.suffix.lower() in SUFFIXES]


def _number(path: Path) -> tuple[int, str]:
    """The number in the name of a picture, and the name."""
    digits = re.sub("[^0-9]", "", path.stem)
    return int(digits or 0), path.name


def _text(path: Path) -> str:
    """The text of a file, without the mark that editors on Windows put before it."""
    return path.read_text(encoding="utf-8-sig")


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
    listing = find_file(folder, source.files[split][0])
    with reading(listing):
        files = _food101_files(listing)
        if len(files) != source.n_classes:
            raise ValueError(f"it names {len(files)} classes, not {source.n_classes}")

        pairs = []
        for label, name in enumerate(sorted(files)):
            for file in files[name]:
                pairs.append((folder / "images" / f"{file}.jpg", label))
        return _pair(pairs)


def _food101_files(listing: Path) -> dict[str, list[str]]:
    """The pictures of each class, "<class>/<number>", from the list as JSON or as text."""
    if listing.suffix == ".json":
        return json.loads(_text(listing))

    files: dict[str, list[str]] = {}
    for file in _text(listing).split():
        files.setdefault(file.split("/")[0], []).append(file)
    return files


def _pair(pairs: list[tuple[Path, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Paths and labels as two arrays (N,)."""
    if not pairs:
        raise ValueError("it lists no images")
    paths, labels = zip(*pairs, strict=True)
    return np.array(paths, dtype=object), np.array(labels, np.int64)
