"""A suite's folder as one archive for others: its records, its report and a manifest.

The manifest, ``ro-crate-metadata.json``, is that of an RO-Crate: what each file is, its size and
SHA-256, and which version of this package made the records. Beside it the archive has the folder as
it is; cells and partitions are in records.jsonl.gz.
"""

import hashlib
import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from benchmarks.reporting.page.sources import check_given, read_folders
from benchmarks.reporting.page.write import NAME as PAGE
from benchmarks.reporting.page.write import write_page
from benchmarks.reporting.parts import Failures
from benchmarks.running.archive import ARCHIVE, pack
from benchmarks.running.copies import copy_cells, copy_files
from benchmarks.running.record_tables import PARQUET, parquet_of
from benchmarks.running.records import load_records
from benchmarks.running.suite_folder import suite_of
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole
from mosaic.fl.unfinished import temporary_folder, unfinished

FILES = {
    ARCHIVE: "all records, one line of JSON per cell and scored round, and the partitions",
    "records.csv": "the records that the tables are computed from, as CSV",
    PARQUET: "the same with types; the description and unit of each column are in its metadata",
    "summary.csv": "means over seeds, with their standard deviations",
    "table.md": "the tables, as Markdown",
    "table.tex": "the tables, as LaTeX",
    PAGE: "the report as one page, which needs no network",
    "README.md": "what was run, and what can be read from the numbers",
    "suite.json": "which suite this is",
    "figures/*": "a figure of the report",
    "pictures/*.npz": "generated and real images of one cell",
    "cells/*.failed.json": "a cell that failed, with its traceback",
}
"""What is in an archive, where a folder has it."""

PACKAGE = "#mosaic-bench"
TYPES = {
    ".gz": "application/gzip",
    ".parquet": "application/vnd.apache.parquet",
    ".npz": "application/octet-stream",
}


def share(folder: Path, out: Path, licence: str) -> list[str]:
    """Write the archive of a suite's folder, which stays as it is.

    Args:
        folder: with ``cells/`` or an archive of them.
        out: the file; one that exists is replaced.
        licence: that of the records: a name or an address.

    Returns:
        The names of the files in it.

    Raises:
        InputError: there are no records in the folder, or a damaged one.
    """
    check_given(folder)
    with temporary_folder(out.resolve().parent, "share") as place:
        stage = place / folder.resolve().name  # a page says the name of its folder
        stage.mkdir()
        _copy(folder, stage)
        records = load_records(stage)
        _add_missing(stage, records)
        names = sorted(path.relative_to(stage).as_posix() for path in _inside(stage))
        crate = _manifest(stage, names, records, licence)
        with unfinished(out) as temporary:
            crate.write_zip(temporary)
            os.replace(temporary, out)
    return names


def _copy(folder: Path, stage: Path) -> None:
    """Copy what is shared, with all cells and partitions packed."""
    damaged = copy_cells(folder, stage)
    if damaged:
        raise InputError(
            f"damaged: {folder}/{damaged[0]}. Nothing is shared: run its suite again, which makes "
            "the file again, or move the file away."
        )
    copy_files(folder, stage, [pattern for pattern in FILES if pattern != ARCHIVE])
    if any((stage / "cells").glob("*.jsonl")):
        pack(stage, remove=True)


def _add_missing(stage: Path, records: pd.DataFrame) -> None:
    """Write the page and the Parquet file where the folder has none."""
    if not (stage / PARQUET).exists():
        write_whole(stage / PARQUET, parquet_of(records))
    if not (stage / PAGE).exists():
        failures: Failures = []  # the page names what it lacks
        write_page(read_folders([stage]), suite_of(stage).reference, stage / PAGE, failures)


def _inside(stage: Path) -> Iterator[Path]:
    return (path for path in stage.rglob("*") if path.is_file())


def _manifest(stage: Path, names: list[str], records: pd.DataFrame, licence: str) -> ROCrate:
    """The manifest of the files in a folder."""
    crate = ROCrate()
    crate.name = f"Mosaic-Bench records: {stage.name}"
    crate.description = (
        f"Records of {records['cell'].nunique()} cells of the suite {stage.name}: a benchmark of "
        "federated learning, with the tables, figures and page that were made from them."
    )
    crate.license = licence
    software = {"@type": "SoftwareApplication", "name": "Mosaic-Bench"}
    software |= {
        "softwareVersion": _values(records, "version"),
        "identifier": _values(records, "commit"),
        "softwareRequirements": [f"PyTorch {value}" for value in _values(records, "torch")],
    }
    crate.add(ContextEntity(crate, PACKAGE, properties=software))
    crate.root_dataset["mentions"] = {"@id": PACKAGE}
    crate.root_dataset["variableMeasured"] = ["accuracy", "bytes sent", "seconds", "FLOP"]

    meanings = {path: text for glob, text in FILES.items() for path in stage.glob(glob)}
    for name in names:
        path = stage / name
        about: dict[str, Any] = {
            "name": name,
            "description": meanings[path],
            "contentSize": str(path.stat().st_size),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "encodingFormat": TYPES.get(path.suffix) or mimetypes.guess_type(name)[0],
        }
        known = {key: value for key, value in about.items() if value}
        crate.add_file(str(path), name, properties=known)
    return crate


def _values(records: pd.DataFrame, column: str) -> list[str]:
    if column not in records:
        return []
    return sorted({str(value) for value in records[column].dropna()} - {""})
