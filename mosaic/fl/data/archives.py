"""Unpack the archives that data sets are published as."""

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mosaic.fl.errors import InputError

Member = tuple[str, Callable[[], Any]]
"""A file in an archive: its name, and what opens it."""


def unpack(archive: Path, into: Path) -> None:
    """Unpack the files of a .zip or .tar archive; links and special files are left out.

    Args:
        archive: a .zip, or a .tar, compressed or not.
        into: an empty folder.

    Raises:
        InputError: the archive is damaged, a file's name leads out of the folder, or the disk is
            full.
    """
    try:
        members = _zip_members if archive.suffix == ".zip" else _tar_members
        with closing(members(archive)) as files:
            for name, content in files:
                target = into / _checked(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with content() as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except Exception as error:  # damaged archives raise errors of any kind
        if isinstance(error, OSError) and error.errno:
            reason = f"{error.strerror}. Unpack it elsewhere, and give --data-dir that folder."
            raise InputError(f"cannot unpack {archive} into {into}: {reason}") from error
        raise InputError(
            f"cannot unpack {archive}: {error}. Copy it again from where it came, or remove it, so "
            "that the data set is looked for elsewhere or downloaded."
        ) from error


def _checked(name: str) -> PurePosixPath:
    """The path of a file in the archive, which must stay below the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))  # as some programs for Windows write
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"its file {name!r} would lie outside the folder")
    return path


def _zip_members(archive: Path) -> Generator[Member, None, None]:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            if not entry.is_dir() and not entry.filename.endswith("\\"):
                yield entry.filename, partial(packed.open, entry)


def _tar_members(archive: Path) -> Generator[Member, None, None]:
    with tarfile.open(archive) as packed:
        for entry in packed:
            if entry.isfile():
                yield entry.name, partial(packed.extractfile, entry)
