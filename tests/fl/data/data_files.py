"""Writes small files in the real formats of the data sets.

Each writer writes 12 training and 8 test images (tiny_imagenet and food101: one per class), whose
labels are known. It returns, for each split, a file of it that a test can damage.
"""

import gzip
import io
import json
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import scipy.io
import torch
from PIL import Image

from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.source import Images


def offline(*args, **kwargs):
    """Stands for a call that would need the network."""
    raise URLError("this test is offline")


def pixels(n: int, *shape: int) -> np.ndarray:
    """n random images of a shape, uint8; the same for the same n."""
    return np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write bytes in the IDX format, compressed where the path ends in .gz."""
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
    """Writes texts and bytes alike as Python 2's str, as in the authors' files."""

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
    # The classes are numbered in the order of the file, which is not alphabetical.
    wnids = [f"n{9_000_000 - k:08}" for k in range(200)]
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


def assert_sound(split: Images, n: int) -> None:
    """The split has n images and labels of the types and shapes of its data set."""
    source = DATASETS[split.name]
    assert split.images.shape == (n, source.channels, source.size, source.size)
    assert split.images.dtype == torch.uint8
    assert split.labels.shape == (n,) and split.labels.dtype == torch.int64
    assert split.n_classes == source.n_classes
