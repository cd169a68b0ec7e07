"""What a suite's folder has, read without changing anything in it.

A run sets damaged files aside. Verifying, sharing and merging must not: a folder may be somebody
else's. So all further work is on a copy.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.running.archive import ARCHIVE, sound_files
from benchmarks.running.archive_file import decompress
from benchmarks.running.record_file import CHECKSUM, Row, parse_rows
from benchmarks.running.suite_folder import RESERVED
from mosaic.fl.errors import InputError
from mosaic.fl.files import problem_of

FAILED = ".failed.json"


class Damage(NamedTuple):
    """A file that is not what was written.

    Attributes:
        name: the file, relative to the suite's folder.
        problem: what is wrong with it.
    """

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


@dataclass
class Content:
    """The records and certificates of a suite's folder.

    Attributes:
        folder: where they are.
        rows: the rows of each sound record of a finished or skipped cell, by the cell's key.
        failed: the same of failed cells that have not succeeded since.
        certificates: the file of each partition, by its name.
        damaged: each file that is not what was written.
        without_checksum: the keys of records that an older version wrote.
        as_run: whether the folder is as a run leaves it, and not packed for keeping.
    """

    folder: Path
    rows: dict[str, list[Row]] = field(default_factory=dict)
    failed: dict[str, list[Row]] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)
    without_checksum: list[str] = field(default_factory=list)
    as_run: bool = False

    def last_rows(self) -> dict[str, Row]:
        """The last row of each finished or skipped cell, by its key."""
        return {key: rows[-1] for key, rows in self.rows.items()}


def suite_folders(given: Path) -> list[Path]:
    """The folders of suites that a folder is, or has under it.

    Raises:
        InputError: there is no such folder, or no record in it.
    """
    if not given.is_dir():
        what = "is a file" if given.exists() else "does not exist"
        raise InputError(f"{given} {what}; give a suite's folder, such as results/heterogeneity.")
    found = list(_with_records(given))
    if not found:
        raise InputError(
            f"{given} has no records: neither cells/ nor {ARCHIVE}, nor a folder that has one of "
            "them. Give a suite's folder, such as results/heterogeneity."
        )
    return found


def _with_records(folder: Path) -> Iterator[Path]:
    """The folder if it has records; else those below it that have, without studies and caches."""
    if (folder / ARCHIVE).exists() or any((folder / "cells").glob("*.json*")):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") or path.name in RESERVED
        if path.is_dir() and not path.is_symlink() and not hidden:
            yield from _with_records(path)


def read_content(folder: Path) -> Content:
    """Read the records and certificates of a suite's folder, or of its archive, or of both.

    A file counts before what the archive has of the same cell, as in a run.

    Raises:
        InputError: the system does not let a file be read.
    """
    content = Content(folder, as_run=any((folder / "cells").glob("*.jsonl")))
    files: dict[str, bytes] = {}
    if (folder / ARCHIVE).exists():
        lines, problems = decompress(_bytes(folder / ARCHIVE))
        files, more = sound_files(lines)
        content.damaged += [Damage(ARCHIVE, problem) for problem in (*problems, *more)]
    for name in (*_names(folder, "cells", ".jsonl"), *_names(folder, "cells", FAILED)):
        files[name] = _bytes(folder / name)
    for name in _names(folder, "partitions", ".json"):
        files[name] = _bytes(folder / name)

    for name, data in sorted(files.items()):
        _add(content, name, data)
    for key in content.failed.keys() & content.rows.keys():
        del content.failed[key]
    return content


def _names(folder: Path, kind: str, ending: str) -> list[str]:
    return [f"{kind}/{path.name}" for path in sorted((folder / kind).glob(f"*{ending}"))]


def _bytes(path: Path) -> bytes:
    if path.is_dir():  # then it is damaged, as a record of no bytes is
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}. Make it readable: a file that cannot "
            "be read may be sound."
        ) from error


def _add(content: Content, name: str, data: bytes) -> None:
    """Add one file; a damaged one is named."""
    key = Path(name).name.split(".")[0]
    if name.startswith("partitions/"):
        content.certificates[key] = data
        return
    try:
        rows = parse_rows(data, key)
        signed = CHECKSUM in json.loads(data.decode().splitlines()[-1])
    except Exception as error:  # damaged bytes give errors of any kind
        content.damaged.append(Damage(name, problem_of(error)))
        return
    kind = content.failed if name.endswith(FAILED) else content.rows
    kind[key] = rows
    if not signed:
        content.without_checksum.append(key)


def copy_pictures(content: Content, into: Path) -> None:
    """Copy what a report reads beside records: certificates, and pictures if there are any.

    Args:
        content: of the suite's folder.
        into: the folder of the copy.
    """
    partitions = into / "partitions"
    partitions.mkdir(parents=True, exist_ok=True)
    for name, data in content.certificates.items():
        (partitions / f"{name}.json").write_bytes(data)
    pictures = content.folder / "pictures"
    if pictures.is_dir():
        shutil.copytree(pictures, into / "pictures", copy_function=_copy)


def _copy(source: str, target: str) -> None:
    """Copy a file's content; its owner's times and rights do not matter."""
    if os.path.isfile(source):
        shutil.copyfile(source, target)
