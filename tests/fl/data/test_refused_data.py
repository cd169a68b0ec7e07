"""Data that cannot be read are refused with what lies there, what is missing and what to do."""

import io
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from data_files import (
    WRITERS,
    offline,
    pixels,
    write_cifar10,
    write_cifar100,
    write_food101,
    write_mnist,
    write_svhn,
    write_tiny_imagenet,
)
from PIL import Image

from mosaic.fl.data.array_pickle import unpickle
from mosaic.fl.data.download import find_split
from mosaic.fl.data.loading import load, use_data_dir
from mosaic.fl.data.user_data import register_data
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("no_data")


def refused(root: Path, name: str, split: str = "train") -> str:
    """The error for the data."""
    use_data_dir(root)
    with pytest.raises(InputError) as caught:
        load(name, split)
    return str(caught.value)


def test_what_lies_in_the_folder_is_named(tmp_path):
    (tmp_path / "cifar-10-matlab.tar.gz").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden").touch()
    text = refused(tmp_path, "cifar10")
    assert f"in {tmp_path} lie cifar-10-matlab.tar.gz, notes.txt (if" in text
    assert "unpack it" in text and "a folder with cifar-10-batches-py/data_batch_1" in text

    inside = tmp_path / "cifar10" / "cifar-10-batches-py"
    inside.mkdir(parents=True)
    assert f"{inside} is empty" in refused(tmp_path, "cifar10")
    for k in range(12):
        (inside / f"data_batch_{k:02}.bin").touch()
    text = refused(tmp_path, "cifar10")
    assert f"in {inside} lie data_batch_00.bin, " in text and " and 4 more)" in text


def test_tiny_imagenet_without_the_list_of_its_classes(tmp_path):
    (write_tiny_imagenet(tmp_path)["test"]).unlink()
    text = refused(tmp_path, "tiny_imagenet")
    assert "lie train, val, words.txt" in text and "tiny-imagenet-200/wnids.txt" in text


def test_a_class_that_is_missing_from_sorted_validation_pictures(tmp_path):
    val = write_tiny_imagenet(tmp_path)["test"].parent / "val"
    shutil.rmtree(val / "images")
    (val / "n09000000").mkdir()
    assert f"cannot use {val / 'n09000000'}: it has no .JPEG" in refused(
        tmp_path, "tiny_imagenet", "test"
    )


def test_a_picture_of_food101_that_is_missing(tmp_path):
    file = write_food101(tmp_path)["train"]
    file.rename(file.with_name("001.jpg"))
    text = refused(tmp_path, "food101")
    assert f"cannot use {file}: No such file: in {file.parent} lie 001.jpg, 2.jpg" in text


def test_a_picture_of_16_bits(tmp_path):
    """Pillow would make it white."""
    file = write_tiny_imagenet(tmp_path)["train"]
    Image.fromarray(np.full((64, 64), 300, np.uint16)).save(file, "PNG")
    text = refused(tmp_path, "tiny_imagenet")
    assert f"cannot use {file}: it has pixels of the kind I;16, not 8 bits per channel" in text


def test_labels_of_mnist_that_are_missing(tmp_path):
    file = write_mnist(tmp_path)["test"]
    file.rename(file.with_name("labels"))
    text = refused(tmp_path, "mnist", "test")
    assert f"cannot use {file}: No such file: in {file.parent} lie labels, t10k-images" in text


def test_matlab_files_of_another_version_or_content(tmp_path):
    file = write_svhn(tmp_path)["train"]
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    assert "it has MATLAB's format 7.3; save it with -v7" in refused(tmp_path, "svhn")
    import scipy.io

    scipy.io.savemat(file, {"digitStruct": np.zeros(3)})
    assert "it does not have the variables X (32, 32, 3, N) and y" in refused(tmp_path, "svhn")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([1, 2], "it has a list, not a dictionary"),
        ({"data": pixels(2, 3072)}, "it has ['data'], but not 'data' and 'labels'"),
        ({"fine_labels": [0, 1]}, "it has ['fine_labels'], but not 'data'"),
        ({"data": pixels(2, 3072), "labels": [0.0, 1.5]}, "labels are float64, not integers"),
        ({"data": pixels(2, 3072), "labels": [0, 10]}, "its labels are 0..10, not within 0..9"),
        ({"data": pixels(2, 3072), "labels": [0]}, "it has 2 images and 1 labels"),
        ({"data": pixels(2, 3072) / 255, "labels": [0, 1]}, "its images are float64"),
        ({"data": pixels(2, 1024), "labels": [0, 1]}, "its images are uint8 (1024,)"),
        ({"data": pixels(2, 3072).astype(object), "labels": [0, 1]}, "its images are object"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": np.zeros(0, int)}, "0 images"),
    ],
)
def test_pickles_of_another_content(tmp_path, content, text):
    file = write_cifar10(tmp_path)["test"]
    file.write_bytes(pickle.dumps(content))
    assert text in refused(tmp_path, "cifar10", "test")


CALLS = (
    "os system",
    "posix system",
    "builtins eval",
    "builtins getattr",
    "builtins __import__",
    "__builtin__ eval",
    "numpy load",
    "numpy fromfile",
    "numpy.core.multiarray fromfile",
    "numpy._core.multiarray fromfile",
    "numpy ndarray.tofile",
    "numpy.lib.npyio load",
    "_codecs open",
    "codecs encode",
    "mosaic.fl.files write_whole",
    "torch.storage _load_from_bytes",
)


@pytest.mark.parametrize("call", CALLS)
def test_a_pickle_that_calls_anything_else_is_refused_by_name(call):
    module, name = call.split()
    with pytest.raises(pickle.UnpicklingError, match=f"it calls {module}.{name}, which no"):
        unpickle(f"c{module}\n{name}\n(tR.".encode())
    frame = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    with pytest.raises(pickle.UnpicklingError, match=f"it calls {module}.{name}, which no"):
        unpickle(b"\x80\x04" + frame + b"\x93)R.")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may read, unlike tmp_path."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_folders_that_may_not_be_read(open_folder):
    """They are no traceback, and do not hide what lies in other folders."""
    write_cifar100(open_folder)
    (open_folder / "cifar100").mkdir(mode=0)
    mine = open_folder / "mine"
    for folder in "train/a", "train/b", "test/a", "test/b":
        (mine / folder).mkdir(parents=True)
    (mine / "train" / "b").chmod(0)
    picture = mine / "train" / "a" / "0.png"
    Image.new("L", (8, 8)).save(picture)
    with as_nobody():
        assert find_split("cifar100", "train", str(open_folder))[0] == open_folder
        with pytest.raises(InputError, match=f"cannot read {mine}: .*Permission denied"):
            register_data(mine)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user without rights, if this process may."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# Archives


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))


def names(root: Path) -> set[str]:
    """What lies below a folder, apart from locks."""
    return {path.name for path in root.rglob("*") if path.suffix != ".lock"}


ARCHIVES = [("cifar10", "cifar-10-python.tar.gz"), ("tiny_imagenet", "tiny-imagenet-200.zip")]


@pytest.mark.parametrize(("name", "archive"), ARCHIVES)
@pytest.mark.parametrize("member", ("../outside", "/outside", "a/../../outside", "..\\outside"))
def test_an_archive_whose_files_would_lie_elsewhere(tmp_path, name, archive, member):
    data = tmp_path / "data"
    data.mkdir()
    write_archive(data / archive, {member: b"x"})
    text = refused(data, name)
    assert f"cannot unpack {data / archive}: its file" in text and "would lie outside" in text
    assert names(tmp_path) == {"data", archive}
    assert not Path("/outside").exists()


@pytest.mark.parametrize(("name", "archive"), ARCHIVES)
@pytest.mark.parametrize("harm", ("halved", "emptied", "garbled"))
def test_a_damaged_archive_is_named(tmp_path, name, archive, harm):
    write_archive(tmp_path / archive, {"data_batch_1": os.urandom(5000), "wnids.txt": b"n0"})
    content = (tmp_path / archive).read_bytes()
    harmed = {"halved": content[: len(content) // 2], "emptied": b"", "garbled": bytes(600)}
    (tmp_path / archive).write_bytes(harmed[harm])
    text = refused(tmp_path, name)
    assert str(tmp_path / archive) in text and "remove it" in text
    assert names(tmp_path) == {archive}


def test_an_archive_of_something_else(tmp_path):
    archive = tmp_path / "cifar-10-python.tar.gz"
    write_archive(archive, {"cifar-10-batches-bin/data_batch_1.bin": b"x"})
    text = refused(tmp_path, "cifar10")
    assert f"cannot use {archive}: it has cifar-10-batches-bin, but no data_batch_1" in text
    assert names(tmp_path) == {archive.name}


def test_links_in_an_archive_are_left_out(tmp_path):
    original = write_cifar100(tmp_path / "original")["train"].parent
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as packed:
        link = tarfile.TarInfo("cifar-100-python/link")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        packed.addfile(link)
        packed.add(original, "cifar-100-python")
    use_data_dir(tmp_path)
    assert load("cifar100", "train").images.shape == (12, 3, 32, 32)
    assert "link" not in names(tmp_path)


def test_an_archive_in_a_folder_that_cannot_be_written_is_unpacked_elsewhere(tmp_path, monkeypatch):
    WRITERS["cifar100"](tmp_path / "original")
    data = tmp_path / "data"
    data.mkdir()
    with tarfile.open(data / "cifar-100-python.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "original" / "cifar-100-python", "cifar-100-python")
    home = tmp_path / "home" / "cache"
    monkeypatch.setattr("mosaic.fl.data.download.writable_root", lambda root: home)
    for _ in range(2):
        root, folder = find_split("cifar100", "train", str(data))
        assert root.parent == home and folder == root / "cifar100" / "cifar-100-python"
    assert names(data) == {"cifar-100-python.tar.gz"}

    # What lies beside the archive needs no place to write to.
    monkeypatch.setattr("mosaic.fl.data.download.writable_root", offline)
    WRITERS["cifar100"](data)
    assert find_split("cifar100", "train", str(data)) == (data, data / "cifar-100-python")
