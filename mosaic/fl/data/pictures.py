"""Decode the pictures of a data set once, into a file that is then mapped into memory.

Two files lie in the cache for each decoding: the array NAME-SIZE-DIGEST.npy, whose digest is of the
content of all pictures and of the decoder, and a note NAME-SIZE-DIGEST.json:

    pictures: digest of the pictures' paths, lengths and times of change, and of the decoder
    array: the same of the .npy
    pixels: SHA-256 of the array's pixels

Reading all pictures takes a twentieth of the time of decoding them, and asking for their times much
less again. So they are read only if their times have changed, and decoded only if their content
has: not after `touch` or a copy of the folder.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from mosaic.fl.data.image_folder import COLOUR_MODES, GREY_MODES
from mosaic.fl.data.readers import reading
from mosaic.fl.files import write_whole

COARSEST_CLOCK_S = 2  # the time of a file on FAT
KEPT = 2  # decodings per split, so that two copies of a data set can share a cache


def decode(paths: np.ndarray, size: int, cache_dir: Path, name: str) -> np.ndarray:
    """Decode pictures once into a file, which is then mapped into memory.

    A picture of another shape is resized whole to the square, its aspect ratio not kept. The file
    is written again if a picture, the version of the decoder, or the file itself has changed.

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
    shape = (len(paths), 3, size, size)
    stem = f"{name}-{size}"
    decoder = _decoder()
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(cache_dir / f"{stem}.lock"):
        state = _state(paths, decoder)
        cache = _find(cache_dir, stem, paths, state, decoder)
        if cache is None or not _is_sound(cache, shape):
            cache, pixels = _decode_all(cache_dir, stem, paths, shape, decoder)
        else:
            pixels = _note(cache)["pixels"]
        _write_note(cache, {"pictures": state, "array": _state([cache]), "pixels": pixels})
        mapped = _map(cache, shape)
    if mapped is None:
        raise OSError(f"{cache} cannot be read, although it has just been written")
    return mapped


def _decoder() -> str:
    """What the pixels depend on besides the pictures' files and the size."""
    import PIL
    from PIL import features

    versions = f"{features.version('jpg')} {features.version('libjpeg_turbo')}"
    return f"Pillow {PIL.__version__}, JPEG {versions}, draft, RGB, bicubic"


def _state(paths: Iterable[Path], decoder: str = "") -> str:
    """A digest of the files' paths, lengths and times of change; "" if one changed just now.

    A program can set the time of modification (as `cp -p` and `tar` do), but not that of the
    change of the file's entry. A file that changes twice within a tick of the clock has one time,
    so the times of files that changed just now say nothing.
    """
    digest = hashlib.sha256(decoder.encode())
    newest = 0
    for path in paths:
        with reading(path):
            status = os.stat(path)
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        line = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    if time.time_ns() - newest <= COARSEST_CLOCK_S * 10**9:
        return ""
    return digest.hexdigest()


def _find(cache_dir: Path, stem: str, paths: np.ndarray, state: str, decoder: str) -> Path | None:
    """Where the decoding of the pictures should be; None if there are no decodings."""
    known = list(cache_dir.glob(f"{stem}-*.npy"))
    for cache in known:
        if state and _note(cache).get("pictures") == state:
            return cache
    if not known:
        return None

    content = hashlib.sha256(decoder.encode())
    for path in paths:
        with reading(path):
            content.update(hashlib.sha256(path.read_bytes()).digest())
    return _cache(cache_dir, stem, content.hexdigest())


def _cache(cache_dir: Path, stem: str, content: str) -> Path:
    """The decoding of the pictures whose content has this digest."""
    return cache_dir / f"{stem}-{content[:16]}.npy"


def _note(cache: Path) -> dict[str, str]:
    """What is noted of a decoding; nothing if the note is absent or damaged."""
    try:
        note = json.loads(cache.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(cache: Path, note: dict[str, str]) -> None:
    if note != _note(cache):
        write_whole(cache.with_suffix(".json"), json.dumps(note, indent=1).encode())


def _is_sound(cache: Path, shape: tuple[int, ...]) -> bool:
    """Whether the array is there, and is what was written, by its times or by its pixels."""
    note = _note(cache)
    array = _map(cache, shape)
    if array is None or "pixels" not in note:
        return False
    state = _state([cache])
    if state and state == note.get("array"):
        return True
    return hashlib.sha256(array.data).hexdigest() == note["pixels"]


def _decode_all(
    cache_dir: Path,
    stem: str,
    paths: np.ndarray,
    shape: tuple[int, int, int, int],
    decoder: str,
) -> tuple[Path, str]:
    """Write the decoded pictures to a temporary file, and rename it once complete.

    The digest of their content is of the bytes that were decoded.

    Returns:
        The file, and the digest of its pixels.
    """
    for left in cache_dir.glob(f".{stem}.npy.*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    aside = cache_dir / f".{stem}.npy.{os.getpid()}"
    content = hashlib.sha256(decoder.encode())
    pixels = hashlib.sha256()
    try:
        array = np.lib.format.open_memmap(aside, "w+", np.uint8, shape)
        for row, path in zip(array, paths, strict=True):
            with reading(path):
                encoded = path.read_bytes()
                row[:] = _decode(encoded, shape[-1])
            content.update(hashlib.sha256(encoded).digest())
            pixels.update(row.data)
        array.flush()
        cache = _cache(cache_dir, stem, content.hexdigest())
        os.replace(aside, cache)
    finally:
        aside.unlink(missing_ok=True)
    _remove_others(cache, stem)
    return cache, pixels.hexdigest()


def _decode(encoded: bytes, size: int) -> np.ndarray:
    """One picture as uint8 (3, size, size)."""
    from PIL import Image  # slow to import, and needed only here

    with Image.open(io.BytesIO(encoded)) as picture:
        if picture.mode not in GREY_MODES + COLOUR_MODES:  # Pillow makes 16 bits white
            raise ValueError(f"it has pixels of the kind {picture.mode}, not 8 bits per channel")
        # A large JPEG is decoded at a fraction of its size, which is much faster.
        picture.draft("RGB", (2 * size, 2 * size))
        square = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(square).transpose(2, 0, 1)


def _remove_others(cache: Path, stem: str) -> None:
    """Remove all but the newest decodings of a split; those without a note count as the oldest."""
    others = [path for path in cache.parent.glob(f"{stem}-*.npy") if path != cache]
    others.sort(key=lambda path: (bool(_note(path)), path.stat().st_mtime))
    for path in others[: len(others) - (KEPT - 1)]:
        with suppress(OSError):  # on Windows: it is in use
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)


def _map(cache: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array, copied on write as torch needs it; None if it is absent or incomplete."""
    try:
        array = np.load(cache, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    if array.shape != shape or array.dtype != np.uint8:
        return None
    return array
