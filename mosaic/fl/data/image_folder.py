"""Read somebody's own pictures: a folder `train/<class>/*.png`, `test/<class>/*.png`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mosaic.fl.data.layouts import visible, what_lies_in
from mosaic.fl.data.shapes import size_fits
from mosaic.fl.data.source import SPLITS
from mosaic.fl.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_PICTURES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe")
OTHER_PICTURES += (".jxl", ".pbm", ".pgm", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp")
SIZES = (28, 32, 64)  # of resized pictures: those of the data sets in the literature

GREY_MODES = ("1", "L", "LA")  # as Pillow names them
COLOUR_MODES = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "RGBX")

OTHER_NAMES = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation", "eval"),
}
LAYOUT = "The folder must have train/<class>/*.png (or .jpg) and test/<class>/*.png (or .jpg)"


class Header(NamedTuple):
    """What a picture's file says before its pixels are decoded."""

    width: int
    height: int
    mode: str


def read_image_folder(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Decode all pictures of an image folder.

    The class folders, sorted by name, are the labels 0..K-1. Hidden files and what other systems
    leave (`layouts.NO_DATA`) are ignored.
    Images have one channel if all files are grey (by their mode, not by their pixels), else they
    are all converted to RGB. Transparency is dropped, and a photo's EXIF orientation is applied.

    Size: if all pictures are squares of the same size, and it is a multiple of 4 from 8 to 64
    pixels, they are kept as they are. Otherwise each picture is resized whole (its aspect ratio is
    not kept) by bicubic interpolation to S x S, where S is the one of 28, 32 and 64 that is nearest
    to the median of the pictures' shorter sides. For another size, resize the pictures beforehand
    or give an .npz file.

    Args:
        folder: has the folders `train` and `test`, with the same classes.

    Returns:
        For "train" and "test" the images, uint8 (N, C, S, S), and their labels, int64 (N,).

    Raises:
        InputError: the layout is another one, or a picture cannot be read.
    """
    classes = _class_names(folder)
    files = {split: _list_pictures(folder / split, classes) for split in SPLITS}

    # The size and the number of channels follow from the headers of all pictures of both splits.
    headers = [_header(path) for split in SPLITS for path, _ in files[split]]
    size = _common_size(headers)
    mode = "L" if all(header.mode in GREY_MODES for header in headers) else "RGB"

    return {split: _decode_all(files[split], mode, size) for split in SPLITS}


def _class_names(folder: Path) -> list[str]:
    """The names of the classes, sorted: those of `train`, which must be those of `test`."""
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise InputError(
                f"{folder / split} is missing: {what_lies_in(folder)}. "
                f"{_how_to_get(split, folder)} {LAYOUT}."
            )
    names = {split: _subfolders(folder / split) for split in SPLITS}
    for split, other in (("train", "test"), ("test", "train")):
        missing = sorted(set(names[split]) - set(names[other]))
        if missing:
            raise InputError(
                f"{folder / split} has the class {missing[0]!r}, but {folder / other} has not. "
                "Both must have the same class folders: add pictures of it or remove the class."
            )

    if len(names["train"]) < 2:
        raise InputError(
            f"{folder / 'train'} has {len(names['train'])} class folders; at least 2 are needed. "
            f"{LAYOUT}."
        )
    return names["train"]


def _how_to_get(split: str, folder: Path) -> str:
    """What to do about a split that is missing."""
    below = [entry for entry in visible(folder) if entry.is_dir()]
    for entry in below:
        if (entry / "train").is_dir():
            return f"Give {entry} instead."
    for entry in below:
        if entry.name.lower() in OTHER_NAMES[split]:
            return f"Rename {entry.name} to {split}."

    text = "Move some pictures of each class, for example every fifth, to test/<class>."
    if split == "train" and below:
        return f"Move the class folders into a folder train. {text}"
    return text


def _subfolders(folder: Path) -> list[str]:
    """The names of the class folders in `train` or `test`, sorted."""
    names = []
    for entry in visible(folder):
        if entry.is_dir():
            names.append(entry.name)
        elif entry.suffix.lower() in SUFFIXES:
            raise InputError(f"{entry} is in no class folder. {LAYOUT}.")
        elif entry.is_symlink() and not entry.exists():
            raise InputError(f"{entry} is a link that leads nowhere. Repair it, or remove it.")
    return names


def _list_pictures(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """The pictures of a split and their labels, sorted by class and file name."""
    pairs = []
    for label, name in enumerate(classes):
        paths = []
        for entry in visible(folder / name):
            suffix = entry.suffix.lower()
            if entry.is_dir():
                raise InputError(
                    f"{entry} is a folder inside a class folder. Move its pictures one level up."
                )
            if suffix in OTHER_PICTURES:
                raise InputError(f"{entry} is not a .png or .jpg. Convert it, or remove it.")
            if suffix in SUFFIXES:
                paths.append(entry)

        if not paths:
            raise InputError(
                f"{folder / name} has no .png or .jpg. Add pictures, or remove the class from "
                "both train and test."
            )
        pairs += [(path, label) for path in paths]
    return pairs


def _header(path: Path) -> Header:
    from PIL import Image  # slow to import, and needed only where pictures are decoded

    with _reading(path), Image.open(path) as picture:
        header = Header(*picture.size, picture.mode)
        n_pictures = getattr(picture, "n_frames", 1)
        is_photo = picture.format in ("JPEG", "MPO")  # an MPO is a JPEG with previews

    if n_pictures > 1 and not is_photo:
        raise InputError(
            f"{path} is an animation of {n_pictures} pictures. Save one of them, or remove it."
        )
    if header.mode not in GREY_MODES + COLOUR_MODES:
        raise InputError(
            f"{path} has pixels of the kind {header.mode!r}. Convert it to 8 bits per channel."
        )
    return header


def _common_size(headers: list[Header]) -> int:
    """The height and width of all images, by the rule that read_image_folder states."""
    sizes = {(header.width, header.height) for header in headers}
    width, height = next(iter(sizes))
    if len(sizes) == 1 and width == height and size_fits(width) and width <= max(SIZES):
        return width

    shorter = float(np.median([min(header.width, header.height) for header in headers]))
    return min(SIZES, key=lambda size: abs(size - shorter))


def _decode_all(
    files: list[tuple[Path, int]], mode: str, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """All pictures of a split as uint8 (N, C, size, size), and their labels (N,)."""
    channels = 1 if mode == "L" else 3
    images = np.empty((len(files), channels, size, size), np.uint8)
    for row, (path, _) in zip(images, files, strict=True):
        row[:] = _decode(path, mode, size)
    return images, np.array([label for _, label in files], np.int64)


def _decode(path: Path, mode: str, size: int) -> np.ndarray:
    """One picture as uint8 (C, size, size)."""
    from PIL import Image, ImageOps

    with _reading(path), Image.open(path) as picture:
        if picture.size != (size, size):
            # A large JPEG is decoded at a fraction of its size, which is much faster.
            picture.draft(mode, (2 * size, 2 * size))
        upright = ImageOps.exif_transpose(picture).convert(mode)
        if upright.size != (size, size):
            upright = upright.resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(upright)  # (H, W) or (H, W, 3)
    return np.atleast_3d(pixels).transpose(2, 0, 1)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the picture that cannot be read. Damaged files make Pillow raise errors of any kind."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"cannot read the picture {path}: {error}. Replace it, or remove it."
        ) from error
