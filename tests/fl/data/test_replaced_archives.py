"""Unpacked files belong to the archive that they came from."""

import os
import tarfile
from pathlib import Path

import pytest
from data_files import write_cifar100

from mosaic.fl.data.download import find_split
from mosaic.fl.errors import InputError

ARCHIVE = "cifar-100-python.tar.gz"


def pack(folder: Path, original: Path, extra: bytes = b"") -> Path:
    """The archive of CIFAR-100 in a folder; `extra` makes its content another one."""
    folder.mkdir(exist_ok=True)
    (original / "extra").write_bytes(extra)
    with tarfile.open(folder / ARCHIVE, "w:gz") as packed:
        packed.add(original, "cifar-100-python")
    return folder / ARCHIVE


@pytest.fixture
def original(tmp_path):
    return write_cifar100(tmp_path / "original")["train"].parent


def test_an_archive_that_was_replaced_after_it_was_unpacked_is_an_error(original, tmp_path):
    data = tmp_path / "data"
    archive = pack(data, original)
    found = find_split("cifar100", "train", str(data))
    os.utime(archive, ns=(1, 1))  # copied, or touched
    for _ in range(2):
        assert find_split("cifar100", "train", str(data)) == found

    pack(data, original, b"new")
    with pytest.raises(InputError, match=f"{data / 'cifar100'} was unpacked from {archive}, which"):
        find_split("cifar100", "train", str(data))
    archive.unlink()
    assert find_split("cifar100", "train", str(data)) == found


def test_archives_in_two_folders_that_cannot_be_written_are_unpacked_apart(
    original, tmp_path, monkeypatch
):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("mosaic.fl.data.download.writable_root", lambda root: home)
    for name in ("a", "b"):
        pack(tmp_path / name, original, name.encode())
    for name in ("a", "b", "a"):
        folder = find_split("cifar100", "train", str(tmp_path / name))[1]
        assert (folder / "extra").read_bytes() == name.encode()
