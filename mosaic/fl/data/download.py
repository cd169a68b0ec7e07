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

TIMEOUT_S = 5  # of silence from the server, not of the whole download


def find_split(name: str, split: str, data_dir: str | None) -> tuple[Path, Path]:
    """Locate the files of a split, and download the data set if they are nowhere.

    Args:
        name: a data set with files, of DATASETS.
        split: "train" or "test".
        data_dir: the only folder to look in and to download into. None: the system's copy and the
            user's cache.

    Returns:
        The root, and the folder with the split's files, which is the root or below it.

    Raises:
        InputError: the files are not there and cannot be downloaded.
    """
    source = DATASETS[name]
    roots = _roots(name, data_dir)
    target = roots[-1]  # of a download

    if located := _look(roots, name, split):
        return located
    reason = _download(name, split, target)
    if located := _look([target], name, split):
        return located

    elsewhere = ""
    if data_dir and (located := locate(name, split, None)):
        elsewhere = f"It is in {located[1]}: leave --data-dir and MOSAIC_DATA out to use that. "
    example = Path(source.subfolder, source.files[split][0])
    package = "no package of the system's has it"
    if source.package:
        package = f"apt-get install {source.package}"
    raise InputError(
        f"{name} ({split}) is not in {', '.join(map(str, roots))}, "
        f"and its download failed: {reason}. {elsewhere}"
        f"Do one of: (1) give --data-dir or MOSAIC_DATA a folder with {example}; (2) {package}; "
        f"(3) go online and run again: torchvision downloads it to {target}. "
        "The data set 'digits' needs none of this."
    )


def locate(name: str, split: str, data_dir: str | None) -> tuple[Path, Path] | None:
    """What :func:`find_split` finds without a download; None if the files are not here."""
    return _look(_roots(name, data_dir), name, split)


def _roots(name: str, data_dir: str | None) -> list[Path]:
    """Where the data set is looked for. A folder that was named is the only one.

    With a second one behind it, a wrong folder would mean other data than those that were meant.
    """
    if data_dir:
        return [Path(data_dir).absolute()]
    return [Path(root) for root in (DATASETS[name].system, _home()) if root]


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
    return Path.home() / ".cache" / "mosaic-bench" / "data"


def writable_root(root: Path) -> Path:
    """The root itself if this user may write there, else the user's cache."""
    if os.access(root, os.W_OK):
        return root
    return _home()


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
            tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as aside,
        ):
            # Another process may have downloaded it while this one waited for the lock.
            if _look([root], name, split):
                return ""

            socket.setdefaulttimeout(TIMEOUT_S)
            fetch = DATASETS[name].fetch
            if fetch is None:
                return "there is no download of it"
            fetch(Path(aside))

            (root / name).mkdir(exist_ok=True)
            for entry in Path(aside).iterdir():
                if entry.suffix not in (".gz", ".zip"):  # the archive, already unpacked
                    os.replace(entry, root / name / entry.name)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        return " ".join(str(error).split())
    finally:
        socket.setdefaulttimeout(timeout)
    return ""
