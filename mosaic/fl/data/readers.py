"""Data sets as uint8 tensors in memory; where they are found; checksums.

Looked for in this order: the folder of ``--data-dir`` or MOSAIC_DATA, the system's own copy, and
~/.cache/mosaic-bench/data. Else torchvision downloads it and checks its md5. What is found on disk is checked by its
structure (lengths, shapes, labels in range), so that a subset in the same format is welcome too.
"""

import gzip
import hashlib
import http.client
import json
import os
import pickle
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.rng import numpy_generator

TIMEOUT_S = 5  # without a word from the server, not for the whole download
SPLITS = ("train", "test")
_sealed = False


@dataclass(frozen=True, eq=False)
class Images:
    """One split of a data set. Cached and shared: not to be written to.

    images: uint8 (N, C, H, W), 0..255. labels: int64 (N,), 0..n_classes - 1.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    n_classes: int


@dataclass(frozen=True)
class Source:
    """What a data set is, and how it is found and read.

    read: (folder, split, source) to uint8 images (N, C, H, W), or where `pictures` the files to decode (N,), and to
    int64 labels (N,).
    files: what each split is read from; the split is in the folder that has the first of them.
    subfolder: where torchvision lays them below its root. system: the folder of Debian's package.
    augment: whether the networks' recipe crops and flips the training images; a flipped digit is no digit.
    """

    channels: int
    size: int
    n_classes: int
    augment: bool
    read: Callable[[Path, str, "Source"], tuple[np.ndarray, np.ndarray]]
    files: dict[str, tuple[str, ...]] | None = None
    subfolder: str = ""
    system: str = ""
    package: str = ""
    pictures: bool = False


def check_name(name: str) -> None:
    """InputError, with the nearest known name, unless `name` is one of DATASETS."""
    if name not in DATASETS:
        raise did_you_mean("data set", name, DATASETS)


def use_data_dir(path: str | os.PathLike | None) -> None:
    """Look for data in `path` first, here and in processes started from here; None changes nothing.

    InputError if it is a file. A folder that does not exist is made when something is downloaded into it.
    """
    if path is not None:
        folder = Path(path).expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise InputError(f"the data dir {folder} is a file: give a folder")
        os.environ["MOSAIC_DATA"] = str(folder)


def load(name: str, split: str) -> Images:
    """The "train" or "test" split of a data set, found or downloaded once and then kept in memory.

    The test split comes in a fixed random order: BatchNorm on batch statistics must not meet the classes one by one.
    Loading one split never opens the files of the other. InputError where the data are absent or damaged.
    """
    check_name(name)
    if split not in SPLITS:
        raise did_you_mean("split", split, SPLITS)
    if split == "test" and _sealed:
        raise RuntimeError(f"the test set of {name} was asked for while it is sealed: tuning uses validation images")
    return _load(name, split, os.environ.get("MOSAIC_DATA"))


@contextmanager
def sealed_test_set() -> Iterator[None]:
    """Inside the block nobody in this process can load a test split: a RuntimeError. For tuning."""
    global _sealed
    before, _sealed = _sealed, True
    try:
        yield
    finally:
        _sealed = before


@lru_cache(maxsize=8)
def _load(name: str, split: str, data_dir: str | None) -> Images:
    source = DATASETS[name]
    root, folder = _find(name, split, data_dir) if source.files else (Path(), Path())
    images, labels = source.read(folder, split, source)
    if split == "test":
        order = numpy_generator("test order", name).permutation(len(labels))
        images, labels = images[order], labels[order]
    if source.pictures:
        images = _decode(images, source.size, _writable(root) / ".mosaic-cache", f"{name}-{split}")
    return Images(name, torch.from_numpy(images), torch.from_numpy(labels), source.n_classes)


def fingerprint(images: Images) -> str:
    """16 hex digits of the sha256 of the shape, the pixels and the labels."""
    digest = hashlib.sha256(repr(tuple(images.images.shape)).encode())
    digest.update(images.images.contiguous().numpy())
    digest.update(images.labels.numpy().astype("<i8"))
    return digest.hexdigest()[:16]


def split_validation(labels: torch.Tensor, fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hold out a stratified `fraction` in [0, 1) of the training pool: positions in labels (n,), ascending.

    Returns (training, validation), of n - v and v = round(fraction * n) positions.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"the validation fraction must be at least 0 and below 1, not {fraction!r}")
    kept, held = _stratify(labels.cpu().numpy(), fraction, numpy_generator(seed, "validation"))
    return torch.from_numpy(kept), torch.from_numpy(held)


def _stratify(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.bincount(labels)
    wanted = fraction * sizes
    quotas = np.floor(wanted).astype(int)
    rest = round(fraction * len(labels)) - quotas.sum()
    quotas[np.argsort(quotas - wanted, kind="stable")[:rest]] += 1  # to the classes that rounding down cost most
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
    held = rank < np.repeat(quotas, sizes)
    return np.sort(by_class[~held]), np.sort(by_class[held])


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 to float32 [-1, 1]: the space in which all networks read and all generators (tanh) write."""
    return images.float() / 127.5 - 1


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`normalise`: rounded, and clamped to 0..255."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """A random crop from a black border of 4 pixels and a random horizontal flip of each image, uint8 (B, C, H, W).

    Drawn by a CPU generator, so that a seed means the same on each device.
    """
    n, channels, height, width = images.shape
    down, right = torch.randint(0, 9, (2, n, 1), generator=rng)
    flipped = torch.randint(0, 2, (n, 1), generator=rng).bool()
    across = torch.arange(width)
    y = (down + torch.arange(height)).to(images.device)  # (B, H)
    x = (right + torch.where(flipped, across.flip(0), across)).to(images.device)  # (B, W)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    image, channel = (torch.arange(count, device=images.device) for count in (n, channels))
    return padded[image[:, None, None, None], channel[:, None, None], y[:, None, :, None], x[:, None, None, :]]


def _find(name: str, split: str, data_dir: str | None) -> tuple[Path, Path]:
    """The root and, in or below it, the folder with the split's files; downloaded if there is none."""
    source = DATASETS[name]
    own = Path(data_dir) if data_dir else _home()  # where a download goes
    roots = [Path(root) for root in (data_dir, source.system, _home()) if root]
    if found := _look(roots, name, split):
        return found
    reason = _download(name, split, own)
    if found := _look([own], name, split):
        return found
    example = Path(source.subfolder, source.files[split][0])
    package = f"apt-get install {source.package}" if source.package else "no package of the system's has it"
    raise InputError(
        f"{name} ({split}) is not in {', '.join(map(str, roots))}, and its download failed: {reason}. "
        f"Do one of: (1) give --data-dir or MOSAIC_DATA a folder with {example}; (2) {package}; "
        f"(3) go online and run again: torchvision downloads it to {own}. "
        "The data set 'digits' needs none of this."
    )


def _look(roots: list[Path], name: str, split: str) -> tuple[Path, Path] | None:
    """The first folder that has the first file of the split: torchvision's own, the data set's, or the root itself."""
    source = DATASETS[name]
    for root in roots:
        for folder in (root / source.subfolder, root / name / source.subfolder, root / name, root):
            if _plain_or_gz(folder / source.files[split][0]).is_file():
                return root, folder
    return None


def _plain_or_gz(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() and not path.is_file() else path


def _home() -> Path:
    return Path.home() / ".cache" / "mosaic-bench" / "data"


def _writable(root: Path) -> Path:
    return root if os.access(root, os.W_OK) else _home()


def _download(name: str, split: str, root: Path) -> str:
    """Download into a folder aside, which becomes `root`/`name` only when whole. Returns why it failed, or ""."""
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"), tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as aside:
            if _look([root], name, split):  # another process brought it while this one waited for the lock
                return ""
            socket.setdefaulttimeout(TIMEOUT_S)
            _fetch(name, Path(aside))
            (root / name).mkdir(exist_ok=True)
            for entry in Path(aside).iterdir():
                if entry.suffix not in (".gz", ".zip"):  # the archive has been unpacked
                    os.replace(entry, root / name / entry.name)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        return " ".join(str(error).split())
    finally:
        socket.setdefaulttimeout(timeout)
    return ""


def _fetch(name: str, into: Path) -> None:
    """Let torchvision download a data set, check its md5, and unpack it below `into`."""
    from torchvision import datasets  # slow to import, and needed by nothing else

    if name == "tiny_imagenet":
        datasets.utils.download_and_extract_archive(
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip", into, md5="90528d7ca1a48142e341f4ef8d21d0de"
        )
    elif name == "svhn":
        for split in SPLITS:
            datasets.SVHN(into, split, download=True)
    else:
        classes = {
            "mnist": datasets.MNIST,
            "fashion_mnist": datasets.FashionMNIST,
            "cifar10": datasets.CIFAR10,
            "cifar100": datasets.CIFAR100,
            "food101": datasets.Food101,
        }
        classes[name](into, download=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of which file it is that reading or checking it failed. Damaged pickles, .mat and JPEGs raise anything."""
    try:
        yield
    except Exception as error:
        reason = error if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        raise InputError(
            f"cannot use {path}: {reason}. Copy it again from where it came, "
            "or remove its folder, so that the data set is looked for elsewhere or downloaded."
        ) from error


def _check(images: np.ndarray, labels: np.ndarray, source: Source) -> tuple[np.ndarray, np.ndarray]:
    shape = (source.channels, source.size, source.size)
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(f"its images are {images.dtype} {images.shape[1:]}, not uint8 {shape}")
    if labels.shape != (len(images),) or not len(images):
        raise ValueError(f"it has {len(images)} images and {labels.size} labels")
    if labels.min() < 0 or labels.max() >= source.n_classes:
        raise ValueError(f"its labels are {labels.min()}..{labels.max()}, not within 0..{source.n_classes - 1}")
    return images, labels.astype(np.int64)


def _read_digits(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1797 digits, their pixels 0..16 scaled to 0..255. The test split is a fixed, stratified fifth."""
    from sklearn.datasets import load_digits  # slow to import, and needed by nothing else

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)
    train, test = _stratify(digits.target, 0.2, numpy_generator("digits", "test split"))
    chosen = train if split == "train" else test
    return _check(images[chosen], digits.target[chosen], source)


def _read_mnist(folder: Path, split: str, source: Source, other: str) -> tuple[np.ndarray, np.ndarray]:
    images_file, labels_file = (_plain_or_gz(folder / file) for file in source.files[split])
    with _reading(images_file):
        images = _read_idx(images_file, 3)[:, None]  # (N, 1, 28, 28)
    with _reading(labels_file):
        labels = _read_idx(labels_file, 1)
        if labels[:10].tolist() == FIRST_LABELS[other][split]:
            raise ValueError(f"it holds {other}, whose files have the same names")
        return _check(images, labels, source)


def _read_idx(path: Path, n_dims: int) -> np.ndarray:
    """An array of bytes in the IDX format: 0, 0, 8 (bytes), n_dims, each length as a big-endian int32, the bytes."""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        content = file.read()
    start = 4 + 4 * n_dims
    if content[:4] != bytes([0, 0, 8, n_dims]) or len(content) < start:
        raise ValueError(f"it does not begin as an IDX file of {n_dims} dimensions")
    shape = struct.unpack(f">{n_dims}I", content[4:start])
    if len(content) - start != np.prod(shape, dtype=object):
        raise ValueError(f"it says that it holds {shape}, but has {len(content) - start} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()  # a copy, for torch wants it writable


def _read_svhn(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    from scipy.io import loadmat  # slow to import, and needed by nothing else

    path = folder / source.files[split][0]
    with _reading(path):
        content = loadmat(path, variable_names=["X", "y"])
        images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))  # (32, 32, 3, N) to (N, 3, 32, 32)
        labels = content["y"].ravel().astype(np.int64)
        return _check(images, np.where(labels == 10, 0, labels), source)  # the file's 10 is the digit 0


def _read_cifar(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    batches = []
    for file in source.files[split]:
        with _reading(folder / file), open(folder / file, "rb") as opened:
            batch = _ArrayUnpickler(opened, encoding="latin1").load()
            labels = batch["labels"] if "labels" in batch else batch["fine_labels"]
            batches.append(_check(batch["data"].reshape(-1, 3, 32, 32), np.array(labels), source))
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, and refuses what else a pickle may call: a downloaded file is not a program to run."""

    # Python 2 wrote the flags of a dtype as 0 and 1, of which numpy warns; so only its letters are taken.
    known = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": lambda letters, *flags: np.dtype(letters),
        "encode": lambda text, encoding: text.encode(encoding),
    }

    def find_class(self, module: str, name: str) -> Callable:
        if module.split(".")[0] not in ("numpy", "_codecs") or name not in self.known:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which no CIFAR file does")
        return self.known[name]


def _list_tiny_imagenet(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The test split is the labelled `val`: the labels of the archive's own `test` were never published."""
    wnids = folder / "wnids.txt"
    with _reading(wnids):
        labels = {wnid: k for k, wnid in enumerate(wnids.read_text().split())}
        if len(labels) != source.n_classes:
            raise ValueError(f"it names {len(labels)} classes, not {source.n_classes}")
    if split == "test":
        annotations = folder / "val" / "val_annotations.txt"
        with _reading(annotations):
            rows = [line.split("\t")[:2] for line in annotations.read_text().splitlines()]
            if wrong := [row for row in rows if len(row) < 2 or row[1] not in labels]:
                raise ValueError(f"it says {wrong[0]} where a file and one of the classes of wnids.txt should be")
            n_files = len(list((folder / "val" / "images").glob("*.JPEG")))
            if len(rows) != n_files:
                raise ValueError(f"it labels {len(rows)} images, but there are {n_files}")
            return _pair([(folder / "val" / "images" / file, labels[wnid]) for file, wnid in rows])
    pairs = []
    for wnid, label in labels.items():
        images = folder / "train" / wnid / "images"
        with _reading(images):
            files = sorted(path for path in images.iterdir() if path.suffix == ".JPEG")
            if not files:
                raise ValueError("it has no .JPEG")
            pairs += [(path, label) for path in files]
    return _pair(pairs)


def _list_food101(folder: Path, split: str, source: Source) -> tuple[np.ndarray, np.ndarray]:
    listing = folder / source.files[split][0]
    with _reading(listing):
        names = json.loads(listing.read_text())
        if len(names) != source.n_classes:
            raise ValueError(f"it names {len(names)} classes, not {source.n_classes}")
        images = folder / "images"
        return _pair([(images / f"{file}.jpg", k) for k, name in enumerate(sorted(names)) for file in names[name]])


def _pair(pairs: list[tuple[Path, int]]) -> tuple[np.ndarray, np.ndarray]:
    if not pairs:
        raise ValueError("it lists no images")
    paths, labels = zip(*pairs, strict=True)
    return np.array(paths, dtype=object), np.array(labels, np.int64)


def _decode(paths: np.ndarray, size: int, cache_dir: Path, name: str) -> np.ndarray:
    """Pictures (N,) as one array uint8 (N, 3, size, size), decoded once into a file that is then mapped into memory.

    A picture of another shape is resized to the square whole, its aspect ratio not kept.
    """
    from PIL import Image  # slow to import, and needed only here

    digest = hashlib.sha256("\n".join(path.as_posix() for path in paths).encode()).hexdigest()[:16]
    cache = cache_dir / f"{name}-{size}-{digest}.npy"
    shape = (len(paths), 3, size, size)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.with_suffix(".lock")):
        if (mapped := _map(cache, shape)) is not None:
            return mapped
        aside = cache.with_suffix(".partial")
        try:
            array = np.lib.format.open_memmap(aside, "w+", np.uint8, shape)
            for row, path in zip(array, paths, strict=True):
                with _reading(path), Image.open(path) as picture:
                    picture.draft("RGB", (2 * size, 2 * size))  # large JPEGs are decoded at a fraction of their size
                    square = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
                    row[:] = np.asarray(square).transpose(2, 0, 1)
            array.flush()
            os.replace(aside, cache)
        finally:
            aside.unlink(missing_ok=True)
    return _map(cache, shape)


def _map(cache: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array, copied on write so that torch may have it; None if it is absent, or not whole."""
    try:
        array = np.load(cache, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


# How the labels of the two begin, by which a folder of the one is not taken for the other.
FIRST_LABELS = {
    "mnist": {"train": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "test": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]},
    "fashion_mnist": {"train": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5], "test": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]},
}
_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

DATASETS = {
    "digits": Source(channels=1, size=8, n_classes=10, augment=False, read=_read_digits),
    "mnist": Source(
        channels=1,
        size=28,
        n_classes=10,
        augment=False,
        read=partial(_read_mnist, other="fashion_mnist"),
        files=_IDX_FILES,
        subfolder="MNIST/raw",
    ),
    "fashion_mnist": Source(
        channels=1,
        size=28,
        n_classes=10,
        augment=False,
        read=partial(_read_mnist, other="mnist"),
        files=_IDX_FILES,
        subfolder="FashionMNIST/raw",
        system="/usr/share/datasets/fashion-mnist",
        package="dataset-fashion-mnist",
    ),
    "svhn": Source(
        channels=3,
        size=32,
        n_classes=10,
        augment=False,
        read=_read_svhn,
        files={"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
    ),
    "cifar10": Source(
        channels=3,
        size=32,
        n_classes=10,
        augment=True,
        read=_read_cifar,
        files={"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
        subfolder="cifar-10-batches-py",
    ),
    "cifar100": Source(
        channels=3,
        size=32,
        n_classes=100,
        augment=True,
        read=_read_cifar,
        files={"train": ("train",), "test": ("test",)},
        subfolder="cifar-100-python",
    ),
    "tiny_imagenet": Source(
        channels=3,
        size=64,
        n_classes=200,
        augment=True,
        read=_list_tiny_imagenet,
        files={split: ("wnids.txt",) for split in SPLITS},
        subfolder="tiny-imagenet-200",
        pictures=True,
    ),
    "food101": Source(  # at 64x64 here; the originals are of up to 512 pixels a side
        channels=3,
        size=64,
        n_classes=101,
        augment=True,
        read=_list_food101,
        files={"train": ("meta/train.json",), "test": ("meta/test.json",)},
        subfolder="food-101",
        pictures=True,
    ),
}
