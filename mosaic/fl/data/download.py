"""mosaic.fl.data.download"""

import http.client
import os
import socket
import tempfile
from pathlib import Path

from filelock import FileLock

from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.readers import plain_or_gz
from mosaic.fl.data.source import SPLITS
from mosaic.fl.errors import InputError

TIMEOUT_S = 5  # without a word from the server, not for the whole download


def find_split(name: str, split: str, data_dir: str | None) -> tuple[Path, Path]:
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
    package = (
        f"apt-get install {source.package}"
        if source.package
        else "no package of the system's has it"
    )
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
            if plain_or_gz(folder / source.files[split][0]).is_file():
                return root, folder
    return None


def _home() -> Path:
    return Path.home() / ".cache" / "mosaic-bench" / "data"


def writable_root(root: Path) -> Path:
    return root if os.access(root, os.W_OK) else _home()


def _download(name: str, split: str, root: Path) -> str:
    """Download into a folder aside, which becomes `root`/`name` only when whole. Returns why it failed, or ""."""
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(root / f".{name}.lock"),
            tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as aside,
        ):
            if _look(
                [root], name, split
            ):  # another process brought it while this one waited for the lock
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
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            into,
            md5="90528d7ca1a48142e341f4ef8d21d0de",
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
