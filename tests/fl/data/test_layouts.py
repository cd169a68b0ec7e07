"""Data as people have it: each form is read as the original is (for the refused, see there)."""

import functools
import gzip
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import WRITERS

from mosaic.fl.data import loading
from mosaic.fl.data.loading import load, use_data_dir

pytestmark = pytest.mark.usefixtures("no_data")

CIFAR10 = "cifar-10-batches-py"
TINY = "tiny-imagenet-200"


def fingerprints(name: str, root: Path) -> list[str]:
    """The fingerprints of both splits of a data set, read anew."""
    loading._load.cache_clear()
    use_data_dir(root)
    return [loading.fingerprint(load(name, split)) for split in ("train", "test")]


# Changes to the files of a data set after which it is read as before. Each gets the data's root.


def rename(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "aside").mkdir()
        aside = (root / old).rename(root / "aside" / "x")
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        aside.rename(root / new)

    return change


def into_folder(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        files = list(root.iterdir())
        (root / name).mkdir()
        for path in files:
            path.rename(root / name / path.name)

    return change


def rename_files(folder: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in (root / folder).rglob(f"*{old}*"):
            path.rename(path.with_name(path.name.replace(old, new)))

    return change


def each_in_its_own_folder(root: Path) -> None:
    """As a well-known copy of MNIST has it: t10k-images-idx3-ubyte/t10k-images-idx3-ubyte."""
    for path in list((root / "MNIST" / "raw").iterdir()):
        aside = path.rename(path.with_suffix(".aside"))
        path.mkdir()
        aside.rename(path / path.name)


def unpacked_under_their_old_names(root: Path) -> None:
    """As some browsers do."""
    for path in (root / "FashionMNIST" / "raw").iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))


def add_other_systems_files(root: Path) -> None:
    """What macOS, Windows and file managers leave beside each file, and in each folder."""
    for path in list(root.rglob("*")):
        if path.is_dir():
            for name in ".DS_Store", "Thumbs.db", "desktop.ini":
                (path / name).write_bytes(b"\0\5\x16\7")
        else:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    shutil.copytree(root, root / "__MACOSX", ignore=lambda folder, _: ["__MACOSX"])


def repickle(protocol: int, keys: type = str, labels: str = "list", shape: tuple = (-1, 3072)):
    """Write CIFAR's pickles anew, as a current Python and NumPy does."""

    def change(root: Path) -> None:
        for path in [*root.rglob("data_batch_*"), *root.rglob("t*_batch"), *root.rglob("t*n")]:
            if not path.is_file():
                continue
            batch = pickle.loads(path.read_bytes(), encoding="latin1")
            data = np.array(batch["data"])
            if shape[-1] == 3:
                data = np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            batch["data"] = np.asfortranarray(data.reshape(shape))
            key = "labels" if "labels" in batch else "fine_labels"
            given = {"int64": [np.int64(k) for k in batch[key]], "array": np.array(batch[key])}
            batch[key] = given.get(labels, batch[key])
            if keys is bytes:
                batch = {key.encode(): value for key, value in batch.items()}
            path.write_bytes(pickle.dumps(batch, protocol))

    return change


def old_numpy(root: Path) -> None:
    """The module names of NumPy 1."""
    repickle(4, labels="int64")(root)
    for path in root.rglob("*_batch*"):
        content = path.read_bytes()
        length = b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray"
        frame = content.index(b"\x95")
        shorter = len(content) - len(content.replace(*length))
        size = int.from_bytes(content[frame + 1 : frame + 9], "little")
        content = (
            content[: frame + 1] + (size - shorter).to_bytes(8, "little") + content[frame + 9 :]
        )
        assert shorter
        path.write_bytes(content.replace(*length))


def pack(name: str, folder: str, *, inside: str | None = None) -> Callable[[Path], None]:
    """Put a folder into an archive and remove it. `inside`: the folder's name there."""

    def change(root: Path) -> None:
        where = folder if inside is None else inside
        files = [path for path in (root / folder).rglob("*") if path.is_file()]
        if name.endswith(".zip"):
            with zipfile.ZipFile(root / name, "w") as packed:
                for path in files:
                    packed.write(path, Path(where) / path.relative_to(root / folder))
        else:
            with tarfile.open(root / name, "w:gz") as packed:
                for path in files:
                    packed.add(path, Path(where) / path.relative_to(root / folder))
        shutil.rmtree(root / folder)

    return change


def sort_validation(below: str, annotated: bool) -> Callable[[Path], None]:
    """Move Tiny ImageNet's validation pictures into class folders, as scripts on the web do."""

    def change(root: Path) -> None:
        folder = root / TINY / "val"
        for line in (folder / "val_annotations.txt").read_text().splitlines():
            file, wnid = line.split("\t")[:2]
            (folder / wnid / below).mkdir(parents=True)
            (folder / "images" / file).rename(folder / wnid / below / file)
        if not annotated:
            (folder / "images").rmdir()
            (folder / "val_annotations.txt").unlink()

    return change


def flatten_train(root: Path) -> None:
    """Remove the folders `images` of Tiny ImageNet's training classes."""
    for folder in (root / TINY / "train").glob("*/images"):
        for path in folder.iterdir():
            path.rename(folder.parent / path.name)
        folder.rmdir()


def lists_as_text(root: Path) -> None:
    """Food-101's lists in their other form."""
    for path in (root / "food-101" / "meta").glob("t*.json"):
        files = [file for of_class in json.loads(path.read_text()).values() for file in of_class]
        path.with_suffix(".txt").write_text("\n".join(files) + "\n")
        path.unlink()


def compressed(root: Path) -> None:
    """Each file as .gz."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()


def windows_text(folder: str) -> Callable[[Path], None]:
    """A byte-order mark, CRLF and an empty last line in each text file."""

    def change(root: Path) -> None:
        for path in (root / folder).rglob("*.txt"):
            content = path.read_bytes().replace(b"\n", b"\r\n")
            path.write_bytes(b"\xef\xbb\xbf" + content + b"\r\n")

    return change


def linked(root: Path) -> None:
    """Folders and files that are links, one of them to the root itself."""
    shutil.move(root / CIFAR10, root.parent / "elsewhere")
    (root / CIFAR10).mkdir()
    for path in (root.parent / "elsewhere").iterdir():
        (root / CIFAR10 / path.name).symlink_to(path)
    (root / CIFAR10 / CIFAR10).symlink_to(root)
    (root / "cifar10").symlink_to(root / "cifar10")


READ = {
    "mnist dotted": ("mnist", rename_files("MNIST", "-idx", ".idx")),
    "mnist each in a folder": ("mnist", each_in_its_own_folder),
    "mnist without raw": ("mnist", rename("MNIST/raw", "MNIST")),
    "mnist raw": ("mnist", rename("MNIST/raw", "raw")),
    "mnist one deeper": ("mnist", rename("MNIST", "MNIST/MNIST")),
    "fashion_mnist gz dotted": ("fashion_mnist", rename_files("FashionMNIST", "-idx", ".idx")),
    "fashion_mnist gz in name only": ("fashion_mnist", unpacked_under_their_old_names),
    "fashion_mnist folder": ("fashion_mnist", rename("FashionMNIST/raw", "Fashion-MNIST")),
    "svhn folder": ("svhn", into_folder("SVHN")),
    "svhn compressed": ("svhn", compressed),
    "cifar100 compressed": ("cifar100", compressed),
    **{f"cifar10 protocol {p}": ("cifar10", repickle(p)) for p in (2, 3, 4, 5)},
    "cifar10 numpy 1": ("cifar10", old_numpy),
    "cifar10 np.int64": ("cifar10", repickle(5, labels="int64")),
    "cifar10 np.int64 protocol 2": ("cifar10", repickle(2, labels="int64")),
    "cifar10 label array": ("cifar10", repickle(5, labels="array")),
    "cifar10 bytes keys": ("cifar10", repickle(2, keys=bytes)),
    "cifar10 channels": ("cifar10", repickle(5, shape=(-1, 3, 32, 32))),
    "cifar10 channels last": ("cifar10", repickle(5, shape=(-1, 32, 32, 3))),
    "cifar100 bytes keys": ("cifar100", repickle(5, keys=bytes, labels="int64")),
    "cifar10 one deeper": ("cifar10", rename(CIFAR10, f"{CIFAR10}/{CIFAR10}")),
    "cifar10 other name": ("cifar10", rename(CIFAR10, "CIFAR-10")),
    "cifar10 links": ("cifar10", linked),
    "cifar10 archive": ("cifar10", pack("cifar-10-python.tar.gz", CIFAR10)),
    "cifar10 archive of files": ("cifar10", pack("cifar-10-python.tar.gz", CIFAR10, inside="")),
    "cifar100 archive": ("cifar100", pack("cifar-100-python.tar.gz", "cifar-100-python")),
    "tiny_imagenet archive": ("tiny_imagenet", pack(f"{TINY}.zip", TINY)),
    "food101 archive": ("food101", pack("food-101.tar.gz", "food-101")),
    "tiny_imagenet one deeper": ("tiny_imagenet", rename(TINY, f"{TINY}/{TINY}")),
    "tiny_imagenet sorted": ("tiny_imagenet", sort_validation("", annotated=True)),
    "tiny_imagenet sorted images": ("tiny_imagenet", sort_validation("images", annotated=False)),
    "tiny_imagenet train without images": ("tiny_imagenet", flatten_train),
    "tiny_imagenet suffix": ("tiny_imagenet", rename_files(TINY, ".JPEG", ".jpg")),
    "tiny_imagenet windows": ("tiny_imagenet", windows_text(TINY)),
    "food101 text lists": ("food101", lists_as_text),
    "food101 one deeper": ("food101", rename("food-101", "food-101/food-101")),
    **{f"{name} other systems' files": (name, add_other_systems_files) for name in WRITERS},
}


LONG = (  # hundreds of files, packed or doubled
    "tiny_imagenet archive",
    "food101 archive",
    "tiny_imagenet other systems' files",
    "food101 other systems' files",
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Callable[[str], tuple[Path, list[str]]]:
    """Maps a name to a data set in its usual form, and its fingerprints. It is written once."""

    @functools.cache
    def original(name: str) -> tuple[Path, list[str]]:
        root = tmp_path_factory.mktemp(name)
        WRITERS[name](root)
        expected = fingerprints(name, root)
        shutil.rmtree(root / ".mosaic-cache", ignore_errors=True)
        return root, expected

    return original


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if case in LONG else ()) for case in READ]
)
def test_every_form_is_read_as_the_original_is(case, originals, tmp_path):
    name, change = READ[case]
    original, expected = originals(name)
    shutil.copytree(original, tmp_path / "data")
    change(tmp_path / "data")
    assert fingerprints(name, tmp_path / "data") == expected
