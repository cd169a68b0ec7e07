"""Records: one finished cell is one file. If the file exists, the cell is done.

``cells/<key>.jsonl`` has one flat JSON row per scored round, or one row for a skipped cell. A
failed cell leaves ``cells/<key>.failed.json`` with its traceback instead; the next run tries it
again. The records of a suite may also be in one file, its archive (``archive.py``); the file of a
cell comes before it.

A record is self-contained: it names the method, the task and the settings that it was measured
with, so a folder of records can be read without the suite that produced it.
``python -m benchmarks.metrics.columns`` prints what each column means.
"""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.metrics.columns import first_columns
from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS, facts_of
from benchmarks.running.archive import ARCHIVE, packed_rows, unpack
from mosaic.fl.files import write_whole
from mosaic.fl.json_values import from_json, to_json

FIRST_COLUMNS = first_columns()
"""The columns that every CSV has, in this order. The others follow by name."""

TEXT_COLUMNS = ["reason", "warnings", "selection"]  # an empty text where a row lacks one
ORDER = ["dataset", "n_clients", "widths", "omega", "seed", "label", "cell", "round"]

Row = dict[str, Any]


def done_file(folder: Path, cell: Cell) -> Path:
    """Return the path of the record of a finished or skipped cell."""
    return folder / "cells" / f"{cell.key}.jsonl"


def failed_file(folder: Path, cell: Cell) -> Path:
    """Return the path of the record of a failed cell."""
    return folder / "cells" / f"{cell.key}.failed.json"


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as one line of JSON each. The file is there whole or not at all."""
    lines = []
    for row in rows:
        values = {column: to_json(value) for column, value in row.items()}
        lines.append(json.dumps(values) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(lines).encode())


def read_rows(path: Path) -> list[Row] | None:
    """Read a record.

    Args:
        path: a file that :func:`write_rows` wrote, now or in an older version of this project.

    Returns:
        Its rows, under the column names of this version; from the suite's archive if the file does
        not exist; None if neither has them. A damaged file is renamed and None is returned, so that
        its cell runs again.
    """
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if not rows or not all(isinstance(row, dict) and "status" in row for row in rows):
            raise ValueError("no row, or one without a status")
    except FileNotFoundError:
        rows = _archived_rows(path)
        if rows is None:
            return None
    except (ValueError, UnicodeDecodeError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        warnings.warn(
            f"damaged record {path}: {error}; set aside as {aside.name}, its cell runs again",
            stacklevel=2,
        )
        return None
    return [_as_of_now(row) for row in rows]


def _archived_rows(path: Path) -> list[Row] | None:
    """The rows of a record in the suite's archive; None also if the cell has failed since."""
    failed = path.with_name(f"{path.stem}.failed.json")
    if path.suffix != ".jsonl" or failed.exists():
        return None
    return packed_rows(path.parent.parent).get(path.stem)


def _as_of_now(row: Row) -> Row:
    """Bring a row into the form of this version: infinities as numbers, present column names.

    Older records have the name in tables as ``method`` and the name in METHODS as ``algorithm``.
    """
    row = {column: from_json(value) for column, value in row.items()}
    if "algorithm" in row:
        row["label"] = row["method"]
        row["method"] = row.pop("algorithm")
    return row


def method_columns(cell: Cell) -> Row:
    """Return what tables show of a cell's method: its name in METHODS, protocol, needs ...

    These facts are those of the method as it is now, whatever its record was written with. Of a
    method that METHODS does not know (from a user's file that was not given this time) only the
    name is returned; the rest is in the record.
    """
    columns: Row = {"method": cell.method}
    if cell.method not in METHODS:
        return columns
    for name, fact in facts_of(cell.method, cell.config).items():
        if name not in ("idea", "paper"):
            columns[name] = fact
    return columns


def current_names(cell: Cell) -> Row:
    """Return the columns that may differ from a cell's record although its numbers are the same.

    The label, the suite, the grid and the names of the widths and of the data set are not part of a
    cell's key.
    """
    names = {
        "label": cell.label,
        "suite": cell.suite,
        "widths": cell.widths,
        "dataset": cell.dataset_name,
        "grid": cell.grid,
        "grid_settings": " ".join(cell.grid_settings),
    }
    return names | method_columns(cell)


def files_of(folder: Path, cell: Cell) -> list[Path]:
    """Return the files that a cell left in its suite's folder.

    The record comes last: once it has been copied, all the others have been.
    """
    row = (read_rows(done_file(folder, cell)) or [{}])[-1]
    candidates = [
        folder / "partitions" / f"{row.get('partition')}.json",
        folder / "pictures" / f"{cell.key}.npz",
        failed_file(folder, cell),
        done_file(folder, cell),
    ]
    return [path for path in candidates if path.exists()]


def take_over(folder: Path, cell: Cell) -> bool:
    """Copy the files of the same cell from another suite's folder, if it was run there.

    Args:
        folder: the suite's folder; those of other suites are beside it.
        cell: a cell without a record in ``folder``.

    Returns:
        True if a record was found. The copy has the label and suite that the cell has here.
    """
    for other in _folders_with(cell, folder.parent):
        record = done_file(other, cell)
        rows = read_rows(record)
        if other == folder or not rows:
            continue
        if not record.exists():  # it is in the archive: its partition is too
            unpack(other)
        for path in files_of(other, cell):
            if path == record:
                continue
            copy = folder / path.relative_to(other)
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_whole(copy, path.read_bytes())
        write_rows(done_file(folder, cell), [row | current_names(cell) for row in rows])
        return True
    return False


def _folders_with(cell: Cell, out: Path) -> list[Path]:
    """The suites' folders that have a record of the cell, as a file or in an archive."""
    folders = {path.parent.parent for path in out.glob(f"*/cells/{cell.key}.jsonl")}
    for archive in out.glob(f"*/{ARCHIVE}"):
        if cell.key in packed_rows(archive.parent):
            folders.add(archive.parent)
    return sorted(folders)


def load_records(folder: Path, cells: Iterable[Cell] | None = None) -> pd.DataFrame:
    """Load the records of a suite's folder into one table.

    Args:
        folder: a suite's folder, with the records in its sub-folder ``cells``.
        cells: only these cells, in this order, under the labels that they have now. By default
            every record in the folder, failed ones too, as it was written; rows are then sorted by
            setting, seed and label.

    Returns:
        One row per cell and scored round. ``label`` is a method's name in tables, ``method`` its
        name in METHODS. FIRST_COLUMNS come first, the others follow by name.
    """
    rows: list[Row] = []
    if cells is None:
        for record in _all_records(folder):
            rows += read_rows(record) or []
    else:
        for cell in cells:
            record = read_rows(done_file(folder, cell)) or read_rows(failed_file(folder, cell))
            rows += [row | current_names(cell) for row in record or []]

    frame = pd.DataFrame(rows)
    absent = [column for column in FIRST_COLUMNS if column not in frame]
    frame[absent] = pd.DataFrame(index=frame.index, columns=absent, dtype=float)
    frame[TEXT_COLUMNS] = frame[TEXT_COLUMNS].astype(object).fillna("")
    if cells is None:
        frame = frame.sort_values(ORDER, ignore_index=True)
    others = sorted(set(frame.columns) - set(FIRST_COLUMNS))
    return frame.reindex(columns=[*FIRST_COLUMNS, *others]).copy()


def _all_records(folder: Path) -> list[Path]:
    """The record of each cell in the folder; of a failed cell only if it has not succeeded since.

    The file of an archived cell need not exist: :func:`read_rows` finds its rows.
    """
    cells = folder / "cells"
    done = {path.stem for path in cells.glob("*.jsonl")}
    failed = {path.name.removesuffix(".failed.json") for path in cells.glob("*.failed.json")}
    done |= packed_rows(folder).keys() - failed

    paths = [cells / f"{key}.jsonl" for key in sorted(done)]
    paths += [cells / f"{key}.failed.json" for key in sorted(failed - done)]
    return paths
