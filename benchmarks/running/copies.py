"""Copies of suites' folders to work on: the folders themselves stay as they are."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmarks.running.archive import unpack

CELLS = ("cells/*.jsonl", "cells/*.failed.json", "partitions/*.json", "pictures/*.npz")
"""What a run leaves of its cells."""


def copy_cells(folder: Path, into: Path) -> None:
    """Copy the cells of a suite's folder and what belongs to them; archived ones are unpacked."""
    copy_files(folder, into, CELLS)
    unpack(folder, into=into)  # a file comes before the archive


def copy_files(folder: Path, into: Path, patterns: Iterable[str]) -> None:
    """Copy the files of a folder that match one of the patterns, under their names in it."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file():
                copy = into / path.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
