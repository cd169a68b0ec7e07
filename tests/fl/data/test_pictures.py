"""The cache of decoded pictures belongs to the pictures' content, not to their names."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import offline
from PIL import Image

from mosaic.fl.data import pictures
from mosaic.fl.data.pictures import decode

SIZE = 8
GREYS = (10, 20, 30)


def write(folder: Path, greys: tuple[int, ...] = GREYS) -> np.ndarray:
    """Write a picture of each grey value, all files of one length, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.JPEG" for i in range(len(greys))]
    for path, grey in zip(paths, greys, strict=True):
        Image.new("RGB", (SIZE, SIZE), (grey, grey, grey)).save(path, "BMP")
    return np.array(paths, dtype=object)


def age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files, and what is cached from now on, count as written long ago."""
    monkeypatch.setattr(pictures, "COARSEST_CLOCK_S", -1)


def greys(paths: np.ndarray, cache: Path) -> tuple[int, ...]:
    """The grey values that are decoded."""
    images = decode(paths, SIZE, cache, "some-train")
    assert images.shape == (len(paths), 3, SIZE, SIZE) and images.dtype == np.uint8
    assert (images == images[:, :1, :1, :1]).all()
    return tuple(images[:, 0, 0, 0].tolist())


@pytest.fixture
def paths(tmp_path) -> np.ndarray:
    return write(tmp_path / "data")


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.mark.parametrize("kept", ("name", "name and length", "name, length and time"))
def test_pictures_that_were_replaced_are_decoded_again(paths, cache, monkeypatch, kept):
    age(monkeypatch)
    assert greys(paths, cache) == GREYS
    before = paths[1].stat()

    aside = paths[1].with_suffix(".new")
    Image.new("RGB", (SIZE, SIZE + (kept == "name")), (99, 99, 99)).save(aside, "BMP")
    if "time" in kept:
        os.utime(aside, ns=(before.st_atime_ns, before.st_mtime_ns))
    aside.replace(paths[1])
    assert (paths[1].stat().st_size == before.st_size) == ("length" in kept)
    assert greys(paths, cache) == (10, 99, 30)


def test_replacements_within_one_tick_of_the_clock_are_noticed(paths, cache):
    """Files that were just written are compared by content, whatever their times say."""
    for grey in range(5):
        write(paths[0].parent, (10, grey, 30))
        assert greys(paths, cache) == (10, grey, 30)


def test_pictures_in_another_order_are_decoded_in_that_order(paths, cache):
    assert greys(paths, cache) == GREYS
    assert greys(paths[::-1], cache) == GREYS[::-1]
    assert greys(paths[:2], cache) == GREYS[:2]


def test_the_same_content_is_decoded_once(paths, cache, tmp_path, monkeypatch):
    """Neither another process, nor `touch`, nor a copy of the folder decodes again."""
    assert greys(paths, cache) == GREYS
    monkeypatch.setattr(Image, "open", offline)
    assert greys(paths, cache) == GREYS
    for path in paths:
        os.utime(path)
    assert greys(paths, cache) == GREYS
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    shutil.copytree(cache, tmp_path / "copied cache")
    copied = np.array([tmp_path / "copy" / path.name for path in paths], dtype=object)
    assert greys(copied, tmp_path / "copied cache") == GREYS


def test_unchanged_files_are_not_even_read(paths, cache, monkeypatch):
    age(monkeypatch)
    assert greys(paths, cache) == GREYS
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: offline() if path in paths else real(path))
    assert greys(paths, cache) == GREYS


def test_another_version_of_the_decoder_decodes_again(paths, cache, monkeypatch):
    greys(paths, cache)
    monkeypatch.setattr("PIL.__version__", "0.0")
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or real(file))
    assert greys(paths, cache) == GREYS and len(opened) == 3


def zero(content: bytes) -> bytes:
    return content[:200] + bytes(64) + content[264:]


@pytest.mark.parametrize("suffix", (".npy", ".json"))
@pytest.mark.parametrize(
    "harm",
    (zero, lambda content: content[:150], lambda content: b"", lambda content: b"[1]", None),
    ids=("zeroed", "halved", "emptied", "another", "removed"),
)
def test_a_damaged_cache_is_written_again(paths, cache, harm, suffix):
    greys(paths, cache)
    (file,) = cache.glob(f"*{suffix}")
    content = file.read_bytes()
    file.unlink()  # it is still mapped
    if harm:
        file.write_bytes(harm(content))
    assert greys(paths, cache) == GREYS
    assert greys(paths, cache) == GREYS
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".lock", ".npy"]


def test_what_a_killed_process_left_is_removed(paths, cache):
    greys(write(paths[0].parent, (1, 2, 3)), cache)
    left = cache / f".some-train-{SIZE}.npy.999999999"
    left.write_bytes(b"half")
    write(paths[0].parent)
    assert greys(paths, cache) == GREYS
    assert not list(cache.glob(".*"))


def test_only_two_decodings_are_kept(paths, cache):
    """With one kept, two copies of a data set that share a cache would take turns."""
    greys(paths, cache)
    (first,) = cache.glob("*.npy")
    of_old_version = first.with_name(f"some-train-{SIZE}-{'0' * 16}.npy")
    shutil.copy(first, of_old_version)
    other = cache / f"some-test-{SIZE}-{'0' * 16}.npy"
    shutil.copy(first, other)
    for grey in range(4):
        write(paths[0].parent, (grey, grey, grey))
        assert greys(paths, cache) == (grey, grey, grey)
    assert len(list(cache.glob("some-train-*.npy"))) == 2
    assert len(list(cache.glob("*.json"))) == 2
    assert not of_old_version.exists() and other.exists()
