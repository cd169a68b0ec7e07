"""Copies of suites' folders to work on: the folders themselves stay as they are."""

import json
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.running.archive import ARCHIVE, unpack
from benchmarks.running.folder_content import Damage, read_content
from mosaic.fl.files import problem_of

CELLS = ("cells/*.jsonl", "cells/*.failed.json", "partitions/*.json", "pictures/*.npz")
"""What a run leaves of its cells."""


def copy_cells(folder: Path, into: Path) -> list[Damage]:
    """Copy the cells of a suite's folder and what belongs to them; archived ones are unpacked.

    Returns:
        The damaged files, which are not copied.
    """
    damaged = [*read_content(folder).damaged, *_damaged_partitions(folder)]
    copy_files(folder, into, CELLS)
    for damage in damaged:
        if damage.name != ARCHIVE:
            (into / damage.name).unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the archive's damage is among those
        unpack(folder, into=into)  # a file comes before the archive
    return damaged


def _damaged_partitions(folder: Path) -> Iterator[Damage]:
    for path in sorted((folder / "partitions").glob("*.json")):
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            yield Damage(f"partitions/{path.name}", problem_of(error))


def copy_files(folder: Path, into: Path, patterns: Iterable[str]) -> None:
    """Copy the files of a folder that match one of the patterns, under their names in it."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file():
                copy = into / path.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
