"""Locate the files of a data set, and download them where they are not on this machine."""

import http.client
import os
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from filelock import FileLock

from mosaic.fl.data.archives import unpack
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.layouts import N_LISTED, find_file, folders, visible, what_lies_in
from mosaic.fl.errors import InputError
from mosaic.fl.home import home_folder
from mosaic.fl.unfinished import temporary_folder

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
    for root in roots:
        if located := _look([root], name, split) or _unpacked(root, name, split):
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
        f"{name} ({split}) is not in {', '.join(map(str, roots))} ({_listing(name, roots[0])}), "
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

    The folder is one of :func:`layouts.folders`. What an archive was unpacked into may be in the
    user's cache, see :func:`_unpacked`.
    """
    for root in roots:
        if folder := _folder(root, name, split):
            return root, folder
        if find_archive(root, name):
            unpacked = writable_root(root)
            if folder := _folder(unpacked, name, split):
                return unpacked, folder
    return None


def _folder(root: Path, name: str, split: str) -> Path | None:
    """The folder below a root that has the first file of a split."""
    source = DATASETS[name]
    for folder in folders(root, name, source.subfolder):
        if os.path.isfile(find_file(folder, source.files[split][0])):
            return folder
    return None


def find_archive(root: Path, name: str) -> Path | None:
    """The archive that a data set is published as, if it lies below a root."""
    source = DATASETS[name]
    for folder in folders(root, name, source.subfolder):
        if source.archive and os.path.isfile(folder / source.archive):
            return folder / source.archive
    return None


def _unpacked(root: Path, name: str, split: str) -> tuple[Path, Path] | None:
    """Unpack the archive of a data set that lies below a root; None if there is none.

    It is unpacked as a download is: into the folder `name` below the root, or in the user's cache
    where the root cannot be written.

    Raises:
        InputError: the archive is damaged, or does not have the files of the split.
    """
    archive = find_archive(root, name)
    if archive is None:
        return None
    target = writable_root(root)
    reason = _download(name, split, target, partial(_unpack, archive, name, split))
    if reason:
        raise InputError(f"cannot unpack {archive}: {reason}")
    return _look([target], name, split)


def _unpack(archive: Path, name: str, split: str, into: Path) -> None:
    """Unpack an archive into a folder, and check that it has the files of a split."""
    unpack(archive, into)
    if not _folder(into, name, split):
        entries = ", ".join(entry.name for entry in visible(into)[:N_LISTED]) or "nothing"
        raise InputError(
            f"cannot use {archive}: it has {entries}, but no {DATASETS[name].files[split][0]}. "
            "Replace it, or remove it."
        )


def _listing(name: str, root: Path) -> str:
    """What lies where the files should be: in the deepest of the usual folders that is there."""
    usual = folders(root, name, DATASETS[name].subfolder)
    there = [folder for folder in usual if os.path.isdir(folder)]
    return what_lies_in(max(there, key=lambda folder: len(folder.parts), default=root))


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


def _download(
    name: str, split: str, root: Path, fetch: Callable[[Path], object] | None = None
) -> str:
    """Download a data set into a temporary folder, and move it to `root`/`name` once complete.

    Args:
        name: of the data set.
        split: one of its splits, which is looked for again before the download.
        root: the folder that gets it.
        fetch: what fills the temporary folder. None: the data set's download.

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
            fetch = fetch or DATASETS[name].fetch
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
