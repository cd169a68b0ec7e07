"""Each data set read from small files in its real format, whole, damaged and absent; the laws of the pixels."""

import gzip
import io
import json
import os
import pickle
import struct
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from mosaic.fl.data import loading, source
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.loading import load, use_data_dir
from mosaic.fl.data.splits import split_validation
from mosaic.fl.data.transforms import augment, normalise, to_uint8
from mosaic.fl.errors import InputError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A home of its own, no data dir, no system's copy, no internet, nothing in memory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MOSAIC_DATA", "")
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setitem(DATASETS, "fashion_mnist", with_system(tmp_path / "system"))
    loading._load.cache_clear()
    yield
    loading._load.cache_clear()


def offline(*args, **kwargs):
    raise URLError("this test is offline")


def with_system(folder: Path) -> source.Source:
    return replace(DATASETS["fashion_mnist"], system=str(folder))


# What each writer writes: 12 training and 8 test images (tiny_imagenet and food101: one and one a class), whose labels
# are known. A writer returns, for each split, a file of it that can be damaged.


def pixels(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(root: Path, subfolder: str = "MNIST/raw", end: str = "") -> dict[str, Path]:
    for split, n in ("train", 12), ("t10k", 8):
        write_idx(root / subfolder / f"{split}-images-idx3-ubyte{end}", pixels(n, 28, 28))
        write_idx(
            root / subfolder / f"{split}-labels-idx1-ubyte{end}", np.arange(n, dtype=np.uint8) % 10
        )
    return {
        "train": root / subfolder / f"train-images-idx3-ubyte{end}",
        "test": root / subfolder / f"t10k-labels-idx1-ubyte{end}",
    }


def write_fashion_mnist(root: Path) -> dict[str, Path]:
    return write_mnist(root, "FashionMNIST/raw", ".gz")


def write_svhn(root: Path) -> dict[str, Path]:
    root.mkdir(parents=True, exist_ok=True)
    files = {split: root / f"{split}_32x32.mat" for split in ("train", "test")}
    for split, n in ("train", 12), ("test", 8):
        labels = np.arange(n, dtype=np.uint8) % 10
        labels[labels == 0] = 10
        images = pixels(n, 3, 32, 32).transpose(2, 3, 1, 0)  # (32, 32, 3, N)
        scipy.io.savemat(files[split], {"X": images, "y": labels[:, None]}, do_compression=True)
    return files


class Python2Pickler(pickle._Pickler):
    """Writes texts and bytes alike as Python 2's str, as in the files of the authors."""

    def save_text(self, value: str | bytes) -> None:
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)

    dispatch = pickle._Pickler.dispatch | {str: save_text, bytes: save_text}


class Python2Array:
    """An array whose pickle calls numpy by its old name, and gives a dtype's flags as 0 and 1."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self):
        make, (kind, shape, code), _ = self.array.__reduce__()
        state = (1, self.array.shape, Python2Dtype(), False, self.array.tobytes())
        return make, (kind, shape, code), state


class Python2Dtype:
    def __reduce__(self):
        return np.dtype, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0)


def write_python2_pickle(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    path.write_bytes(
        stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    )


def write_cifar10(root: Path) -> dict[str, Path]:
    folder = root / "cifar-10-batches-py"
    images = pixels(12, 3072)
    for i in range(5):  # of 3, 3, 2, 2 and 2 images
        rows = np.array_split(np.arange(12), 5)[i]
        batch = {
            "batch_label": f"training batch {i + 1} of 5",
            "labels": (rows % 10).tolist(),
            "filenames": ["a.png"],
        }
        write_python2_pickle(
            folder / f"data_batch_{i + 1}", batch | {"data": Python2Array(images[rows])}
        )
    batch = {
        "batch_label": "testing batch 1 of 1",
        "labels": list(range(8)),
        "data": Python2Array(pixels(8, 3072)),
    }
    write_python2_pickle(folder / "test_batch", batch)
    write_python2_pickle(
        folder / "batches.meta",
        {"num_cases_per_batch": 3, "label_names": ["airplane"], "num_vis": 3072},
    )
    return {"train": folder / "data_batch_3", "test": folder / "test_batch"}


def write_cifar100(root: Path) -> dict[str, Path]:
    folder = root / "cifar-100-python"
    for split, n in ("train", 12), ("test", 8):
        labels = {"fine_labels": [k % 10 for k in range(n)], "coarse_labels": [19] * n}
        write_python2_pickle(
            folder / split,
            labels | {"data": Python2Array(pixels(n, 3072)), "filenames": ["a.png"] * n},
        )
    write_python2_pickle(
        folder / "meta", {"fine_label_names": ["apple"], "coarse_label_names": ["fish"]}
    )
    return {"train": folder / "train", "test": folder / "test"}


def write_jpeg(path: Path, mode: str, size: tuple[int, int], grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, grey if mode == "L" else (grey, grey, grey)).save(path, "JPEG")


def write_tiny_imagenet(root: Path) -> dict[str, Path]:
    folder = root / "tiny-imagenet-200"
    wnids = [
        f"n{9_000_000 - k:08}" for k in range(200)
    ]  # their order is the file's, not the alphabet's
    rows = []
    for k, wnid in enumerate(wnids):
        mode = "L" if k == 7 else "RGB"  # some of the real ones are grey
        write_jpeg(folder / "train" / wnid / "images" / f"{wnid}_0.JPEG", mode, (64, 64), k)
        write_jpeg(folder / "val" / "images" / f"val_{k}.JPEG", mode, (64, 64), k)
        rows.append(f"val_{k}.JPEG\t{wnid}\t0\t0\t63\t63\n")
    (folder / "wnids.txt").write_text("\n".join(wnids) + "\n")
    (folder / "words.txt").write_text("".join(f"{wnid}\tan animal\n" for wnid in wnids))
    (folder / "val" / "val_annotations.txt").write_text("".join(rows))
    return {
        "train": folder / "train" / wnids[3] / "images" / f"{wnids[3]}_0.JPEG",
        "test": folder / "wnids.txt",
    }


def write_food101(root: Path) -> dict[str, Path]:
    folder = root / "food-101"
    names = [f"dish_{k:03}" for k in range(101)]
    for split, number in ("train", 1), ("test", 2):
        for k, name in enumerate(names):
            write_jpeg(folder / "images" / name / f"{number}.jpg", "RGB", (512, 384), k)
        (folder / "meta").mkdir(exist_ok=True)
        listing = {name: [f"{name}/{number}"] for name in reversed(names)}
        (folder / "meta" / f"{split}.json").write_text(json.dumps(listing))
    (folder / "meta" / "classes.txt").write_text("\n".join(names))
    return {
        "train": folder / "images" / "dish_005" / "1.jpg",
        "test": folder / "meta" / "test.json",
    }


WRITERS = {
    "mnist": write_mnist,
    "fashion_mnist": write_fashion_mnist,
    "svhn": write_svhn,
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "tiny_imagenet": write_tiny_imagenet,
    "food101": write_food101,
}
SMALL = ("mnist", "fashion_mnist", "svhn", "cifar10", "cifar100")
PICTURES = ("tiny_imagenet", "food101")


def assert_sound(split: source.Images, n: int) -> None:
    source = DATASETS[split.name]
    assert (
        split.images.shape == (n, source.channels, source.size, source.size)
        and split.images.dtype == torch.uint8
    )
    assert split.labels.shape == (n,) and split.labels.dtype == torch.int64
    assert split.n_classes == source.n_classes


# Reading


def test_every_data_set_but_digits_is_tested_from_its_real_format():
    assert {*WRITERS, "digits"} == set(DATASETS)


@pytest.mark.parametrize("name", SMALL)
def test_small_files_in_the_real_format(name, tmp_path):
    WRITERS[name](tmp_path)
    use_data_dir(tmp_path)
    source = DATASETS[name]
    train, test = load(name, "train"), load(name, "test")
    assert_sound(train, 12)
    assert_sound(test, 8)
    written = torch.from_numpy(pixels(12, source.channels, source.size, source.size))
    assert torch.equal(train.images, written)
    assert train.labels.tolist() == [k % 10 for k in range(12)]
    # The test images come in another order, each with its own label, which is its row in what was written.
    written = torch.from_numpy(pixels(8, source.channels, source.size, source.size))
    assert torch.equal(test.images, written[test.labels])
    assert test.labels.tolist() != list(range(8)) and sorted(test.labels.tolist()) == list(range(8))


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_in_the_real_format(name, tmp_path, monkeypatch):
    WRITERS[name](tmp_path)
    use_data_dir(tmp_path)
    n_classes = DATASETS[name].n_classes
    train, test = load(name, "train"), load(name, "test")
    assert train.labels.tolist() == list(range(n_classes))
    assert sorted(test.labels.tolist()) == list(range(n_classes)) and test.labels.tolist() != list(
        range(n_classes)
    )
    for split in train, test:  # the picture of class k is of the grey k, within a unit of JPEG
        assert_sound(split, n_classes)
        greys = split.labels[:, None, None, None].expand_as(split.images)
        assert (split.images.int() - greys).abs().max() <= 1
    # The second time nothing is decoded.
    loading._load.cache_clear()
    monkeypatch.setattr(Image, "open", offline)
    assert loading.fingerprint(load(name, "test")) == loading.fingerprint(test)


def test_a_cache_of_pictures_that_is_not_whole_is_made_again(tmp_path):
    write_food101(tmp_path)
    use_data_dir(tmp_path)
    before = loading.fingerprint(load("food101", "test"))
    (cache,) = (tmp_path / ".mosaic-cache").glob("*.npy")
    for content in (cache.read_bytes()[:5000], b"", b"not an array"):
        loading._load.cache_clear()
        cache.unlink()  # the first is still mapped
        cache.write_bytes(content)
        assert loading.fingerprint(load("food101", "test")) == before
    assert not list(cache.parent.glob("*.partial"))


def test_digits_are_whole_scaled_and_stratified():
    train, test = load("digits", "train"), load("digits", "test")
    assert_sound(train, 1438)  # 1797 - round(0.2 * 1797)
    assert_sound(test, 359)
    assert set(torch.cat([train.images, test.images]).unique().tolist()) == {
        round(x * 255 / 16) for x in range(17)
    }
    share = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert (share - 0.2).abs().max() < 0.01


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_systems_fashion_mnist(monkeypatch, tmp_path):
    monkeypatch.setitem(DATASETS, "fashion_mnist", with_system(DEBIAN))
    train, test = load("fashion_mnist", "train"), load("fashion_mnist", "test")
    assert (
        train.labels.bincount().tolist() == [6000] * 10
        and test.labels.bincount().tolist() == [1000] * 10
    )
    use_data_dir(DEBIAN)
    for split in "train", "test":
        with pytest.raises(
            InputError, match="holds fashion_mnist, whose files have the same names"
        ):
            load("mnist", split)


def test_one_split_is_read_without_the_other(tmp_path):
    for file in write_cifar10(tmp_path)["test"].parent.glob("data_batch_*"):
        file.unlink()
    use_data_dir(tmp_path)
    assert_sound(load("cifar10", "test"), 8)
    with pytest.raises(InputError, match="cifar10 .train. is not in"):
        load("cifar10", "train")


# Damage


@pytest.mark.parametrize("split", ("train", "test"))
@pytest.mark.parametrize("harm", ("halved", "emptied", "garbled"))
@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_named(name, harm, split, tmp_path):
    file = WRITERS[name](tmp_path)[split]
    content = file.read_bytes()
    file.write_bytes(
        {"halved": content[: len(content) // 2], "emptied": b"", "garbled": bytes(len(content))}[
            harm
        ]
    )
    use_data_dir(tmp_path)
    with pytest.raises(InputError) as caught:
        load(name, split)
    assert f"cannot use {file}: " in str(caught.value) and "Copy it again" in str(caught.value)


def test_a_missing_companion_is_named(tmp_path):
    for name, file in ("mnist", "train-labels-idx1-ubyte"), ("cifar10", "data_batch_4"):
        folder = WRITERS[name](tmp_path)["train"].parent
        (folder / file).unlink()
        use_data_dir(tmp_path)
        with pytest.raises(InputError, match=f"cannot use {folder / file}: .*No such file"):
            load(name, "train")


def test_as_many_labels_as_images_and_within_range(tmp_path):
    labels = write_mnist(tmp_path)["test"]
    use_data_dir(tmp_path)
    write_idx(labels, np.zeros(7, np.uint8))
    with pytest.raises(InputError, match=f"{labels}: it has 8 images and 7 labels"):
        load("mnist", "test")
    write_idx(labels, np.full(8, 10, np.uint8))
    with pytest.raises(InputError, match=r"its labels are 10\.\.10, not within 0\.\.9"):
        load("mnist", "test")
    write_idx(labels.with_name("t10k-images-idx3-ubyte"), pixels(8, 32, 32))
    with pytest.raises(
        InputError, match=r"its images are uint8 \(1, 32, 32\), not uint8 \(1, 28, 28\)"
    ):
        load("mnist", "test")


def test_tiny_imagenet_says_what_is_missing(tmp_path):
    folder = write_tiny_imagenet(tmp_path)["test"].parent
    use_data_dir(tmp_path)
    annotations = folder / "val" / "val_annotations.txt"
    lines = annotations.read_text().splitlines()
    annotations.write_text("\n".join(lines[:150]))
    with pytest.raises(InputError, match=f"{annotations}: it labels 150 images, but there are 200"):
        load("tiny_imagenet", "test")
    annotations.write_text("\n".join([*lines[:199], "val_199.JPEG\tn089"]))
    with pytest.raises(InputError, match=f"{annotations}: it says .*n089.* classes of wnids.txt"):
        load("tiny_imagenet", "test")
    images = next((folder / "train").iterdir()) / "images"
    next(images.iterdir()).unlink()
    with pytest.raises(InputError, match=f"{images}: it has no .JPEG"):
        load("tiny_imagenet", "train")


def test_a_pickle_that_would_run_a_program_is_refused(tmp_path):
    class Program:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was here"),)

    file = write_cifar100(tmp_path)["train"]
    file.write_bytes(pickle.dumps({"data": Program(), "fine_labels": [0]}))
    use_data_dir(tmp_path)
    with pytest.raises(InputError, match="it calls .*mkdir, which no CIFAR file does"):
        load("cifar100", "train")
    assert not (tmp_path / "was here").exists()


# Finding


@pytest.mark.parametrize(
    "inside", ("", "cifar10", "cifar10/cifar-10-batches-py", "cifar-10-batches-py")
)
def test_natural_layouts(inside, tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "data" / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cifar-10-batches-py").rename(tmp_path / "data" / inside)
    use_data_dir(tmp_path / "data")
    assert_sound(load("cifar10", "train"), 12)


def test_the_order_of_lookup(tmp_path, monkeypatch):
    """--data-dir, then MOSAIC_DATA, then the system's copy, then the cache of downloads: n tells them apart."""

    def write(root: Path, n: int) -> None:
        write_idx(root / "t10k-images-idx3-ubyte.gz", pixels(n, 28, 28))
        write_idx(root / "t10k-labels-idx1-ubyte.gz", np.zeros(n, np.uint8))

    def found() -> int:
        loading._load.cache_clear()
        return len(load("fashion_mnist", "test").labels)

    write(tmp_path / "home" / ".cache" / "mosaic-bench" / "data" / "FashionMNIST" / "raw", 1)
    assert found() == 1
    write(tmp_path / "system", 2)
    assert found() == 2
    write(tmp_path / "variable", 3)
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path / "variable"))
    assert found() == 3
    write(tmp_path / "option" / "fashion_mnist", 4)
    use_data_dir(tmp_path / "option")
    assert found() == 4
    use_data_dir(None)
    assert found() == 4


def test_kept_in_memory_for_each_data_dir(tmp_path):
    write_mnist(tmp_path / "a")
    use_data_dir(tmp_path / "a")
    first = load("mnist", "train")
    assert load("mnist", "train") is first
    write_mnist(tmp_path / "b")
    use_data_dir(tmp_path / "b")
    assert load("mnist", "train") is not first


@pytest.mark.parametrize("name", WRITERS)
def test_absent_and_offline_names_three_ways(name, tmp_path):
    with pytest.raises(InputError) as caught:
        load(name, "test")
    said = str(caught.value)
    assert "this test is offline" in said
    assert "--data-dir or MOSAIC_DATA" in said and DATASETS[name].files["test"][0] in said
    package = (
        "apt-get install dataset-fashion-mnist"
        if name == "fashion_mnist"
        else "no package of the system's"
    )
    assert package in said
    assert "go online" in said and "torchvision" in said
    assert "'digits'" in said


def test_a_download_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    def halfway(into: Path) -> None:
        file = write_mnist(into)["train"]
        file.write_bytes(file.read_bytes()[:1000])
        raise URLError("connection lost")

    def whole(into: Path) -> None:
        write_mnist(into)
        (into / "mnist.tar.gz").write_bytes(b"the archive")

    use_data_dir(tmp_path / "data")
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], fetch=halfway))
    with pytest.raises(InputError, match="connection lost"):
        load("mnist", "train")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.suffix != ".lock"]
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], fetch=whole))
    assert_sound(load("mnist", "train"), 12)
    assert [path.name for path in (tmp_path / "data" / "mnist").iterdir()] == ["MNIST"]
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], fetch=offline))  # found from now on
    assert_sound(load("mnist", "test"), 8)


def test_wrong_names():
    with pytest.raises(InputError, match="unknown data set 'cifar-10'; did you mean 'cifar10'"):
        load("cifar-10", "train")
    with pytest.raises(InputError, match="unknown split 'tests'; did you mean 'test'"):
        load("digits", "tests")


def test_a_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file: give a folder"):
        use_data_dir(tmp_path / "file")


# Pixels and splits


def test_normalise_then_to_uint8_is_the_identity():
    every = torch.arange(256, dtype=torch.uint8)
    normal = normalise(every)
    assert normal.dtype == torch.float32 and normal.min() == -1 and normal.max() == 1
    assert torch.equal(to_uint8(normal), every)
    assert to_uint8(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [
        0,
        0,
        128,
        255,
        255,
    ]  # 127.5 to even


def test_augment_is_a_crop_from_a_black_border_and_a_flip():
    """Each pixel is unique, so that the one at the middle tells the shift and the flip, and these tell all others."""
    n, size = 200, 12
    image = torch.arange(1, 1 + size * size, dtype=torch.uint8).view(1, size, size)
    images = torch.cat([image, 255 - image])[None].repeat(n, 1, 1, 1)
    result = augment(images, torch.Generator().manual_seed(0))
    assert result.shape == images.shape and result.dtype == torch.uint8
    padded = torch.nn.functional.pad(images[:1], (4, 4, 4, 4))[0]
    crops = {}
    for down in range(9):
        for right in range(9):
            crop = padded[:, down : down + size, right : right + size]
            crops[crop.numpy().tobytes()] = (down, right, False)
            crops[crop.flip(2).numpy().tobytes()] = (down, right, True)
    drawn = [
        crops[x.numpy().tobytes()] for x in result
    ]  # a KeyError if any of them is no such crop
    assert {d for d, _, _ in drawn} == {r for _, r, _ in drawn} == set(range(9))
    assert 70 < sum(flipped for _, _, flipped in drawn) < 130


def test_augment_is_decided_by_its_generator():
    images = torch.from_numpy(pixels(5, 3, 32, 32))
    first, again, other = (
        augment(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_split_validation_is_stratified_disjoint_and_complete():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 19 + [3])
    train, validation = split_validation(labels, 0.1, seed=3)
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(100))
    # 10 of 100: 5, 3, 1.9 and 0.1 of the classes, rounded down to 5, 3, 1, 0; the tenth goes to the 0.9.
    assert labels[validation].bincount(minlength=4).tolist() == [5, 3, 2, 0]
    again, other = split_validation(labels, 0.1, 3)[1], split_validation(labels, 0.1, 4)[1]
    assert torch.equal(validation, again) and not torch.equal(validation, other)
    assert len(split_validation(labels, 0, 3)[1]) == 0


@pytest.mark.parametrize("fraction", (-0.1, 1, float("nan")))
def test_split_validation_refuses_a_fraction_that_is_none(fraction):
    with pytest.raises(InputError, match="validation fraction"):
        split_validation(torch.zeros(10, dtype=torch.int64), fraction, 0)


def test_fingerprint_sees_pixels_labels_and_shape():
    images, labels = torch.zeros(2, 1, 2, 4, dtype=torch.uint8), torch.tensor([0, 1])

    def of(images: torch.Tensor, labels: torch.Tensor) -> str:
        return loading.fingerprint(source.Images("digits", images, labels, 10))

    prints = {
        of(images, labels),
        of(images + 1, labels),
        of(images, 1 - labels),
        of(images.view(2, 1, 4, 2), labels),
    }
    assert len(prints) == 4 and all(len(text) == 16 for text in prints)
    assert of(images.clone(), labels.clone()) in prints
