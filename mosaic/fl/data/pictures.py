"""Decode the pictures of a data set once, into a file that is then mapped into memory."""

import hashlib
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from mosaic.fl.data.readers import reading


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
