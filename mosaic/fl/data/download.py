"""Locate the files of a data set, and download them where they are not on this machine."""

import http.client
import os
import socket
import tempfile
from pathlib import Path

from filelock import FileLock

from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.readers import plain_or_gz
from mosaic.fl.errors import InputError
from mosaic.fl.home import home_folder
from mosaic.fl.unfinished import temporary_folder

TIMEOUT_S = 5  # of silence from the server, not of the whole download


def find_split(name: str, split: str, data_dir: str | None) -> tuple[Path, Path]:
    """Locate the files of a split, and download the data set if they are nowhere.

    Args:
        name: a data set with files, of DATASETS.
        split: "train" or "test".
        data_dir: the folder to look in first, and to download into. None: the user's cache.

    Returns:
        The root, and the folder with the split's files, which is the root or below it.

    Raises:
        InputError: the files are not there and cannot be downloaded.
    """
    source = DATASETS[name]
    home = _home()
    target = Path(data_dir) if data_dir else home  # of a download
    roots = [Path(root) for root in (data_dir, source.system, home) if root]

    if located := _look(roots, name, split):
        return located
    reason = _download(name, split, target)
    if located := _look([target], name, split):
        return located

    example = Path(source.subfolder, source.files[split][0])
    package = "no package of the system's has it"
    if source.package:
        package = f"apt-get install {source.package}"
    raise InputError(
        f"{name} ({split}) is not in {', '.join(map(str, roots))}, "
        f"and its download failed: {reason}. "
        f"Do one of: (1) give --data-dir or MOSAIC_DATA a folder with {example}; (2) {package}; "
        f"(3) go online and run again: torchvision downloads it to {target}. "
        "The data set 'digits' needs none of this."
    )


def _look(roots: list[Path], name: str, split: str) -> tuple[Path, Path] | None:
    """The first root and folder with the first file of the split; None if there is none.

    The folder is torchvision's, the one named after the data set, or the root itself.
    """
    source = DATASETS[name]
    for root in roots:
        for folder in (root / source.subfolder, root / name / source.subfolder, root / name, root):
            if plain_or_gz(folder / source.files[split][0]).is_file():
                return root, folder
    return None


def _home() -> Path:
    """The user's folder of data sets; for a user without a home, one in the system's /tmp."""
    home = home_folder()
    if home is None:
        return Path(tempfile.gettempdir(), f"mosaic-bench-{os.getuid()}", "data")
    return home / ".cache" / "mosaic-bench" / "data"


def writable_root(root: Path) -> Path:
    """The root itself if this user may write there, else the user's cache.

    Raises:
        InputError: nothing can be written to either.
    """
    home = _home()
    for place in (root, home):
        if _can_write(place):
            return place
    raise InputError(
        "pictures are decoded once into a file, but nothing can be written to "
        f"{root} or {home}: make one of them writable, or set HOME to a folder of your own."
    )


def _can_write(folder: Path) -> bool:
    """Whether this user may write to the folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _download(name: str, split: str, root: Path) -> str:
    """Download a data set into a temporary folder, and move it to `root`/`name` once complete.

    Returns:
        Why it failed, or "".
    """
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(root / f".{name}.lock"),
            temporary_folder(root, name) as aside,
        ):
            # Another process may have downloaded it while this one waited for the lock.
            if _look([root], name, split):
                return ""

            socket.setdefaulttimeout(TIMEOUT_S)
            fetch = DATASETS[name].fetch
            if fetch is None:
                return "there is no download of it"
            fetch(aside)

            (root / name).mkdir(exist_ok=True)
            for entry in aside.iterdir():
                if entry.suffix not in (".gz", ".zip"):  # the archive, already unpacked
                    os.replace(entry, root / name / entry.name)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        return " ".join(str(error).split())
    finally:
        socket.setdefaulttimeout(timeout)
    return ""
