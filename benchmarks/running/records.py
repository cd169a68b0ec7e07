"""Records: one finished cell is one file. The cell is done if the file's last row says so.

``cells/<key>.jsonl`` has one flat JSON row per scored round, or one row for a skipped cell
(``record_file.py`` says when it is complete). A failed cell leaves ``cells/<key>.failed.json`` with
its traceback instead; the next run tries it again. The records of a suite may also be in one file,
its archive (``archive.py``); the file of a cell comes before it.

A record is self-contained: it names the method, the task and the settings that it was measured
with, so a folder of records can be read without the suite that produced it.
``python -m benchmarks.metrics.columns`` prints what each column means.
"""

import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from benchmarks.metrics.columns import first_columns
from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS, facts_of
from benchmarks.running.archive import ARCHIVE, packed_rows, unpack
from benchmarks.running.record_file import AGAIN, Row, read_file, write_rows
from benchmarks.running.session import Outcome
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole

FIRST_COLUMNS = first_columns()
"""The columns that every CSV has, in this order. The others follow by name."""

TEXT_COLUMNS = ["reason", "warnings", "selection"]  # an empty text where a row lacks one
ORDER = ["dataset", "n_clients", "widths", "omega", "seed", "label", "cell", "round"]


def done_file(folder: Path, cell: Cell) -> Path:
    """Return the path of the record of a finished or skipped cell."""
    return folder / "cells" / f"{cell.key}.jsonl"


def failed_file(folder: Path, cell: Cell) -> Path:
    """Return the path of the record of a failed cell."""
    return folder / "cells" / f"{cell.key}.failed.json"


def key_of(path: Path) -> str:
    """Return the key of the cell that a record is of."""
    return path.name.split(".")[0]


def path_of(folder: Path, outcome: Outcome) -> Path:
    """Return the path of the record of a cell that has ended."""
    of_status = failed_file if outcome.status == "failed" else done_file
    return of_status(folder, outcome.cell)


def read_rows(path: Path) -> list[Row] | None:
    """Read a record: its file, or else its rows in the suite's archive.

    Args:
        path: of the file, which need not exist.

    Returns:
        Its rows, under the column names of this version; None if neither has sound ones. A damaged
        file is set aside, so that its cell runs again.

    Raises:
        InputError: the system does not let the file or the archive be read.
    """
    suite = path.parent.parent
    then = AGAIN
    if (suite / ARCHIVE).exists():
        then = f"{AGAIN} unless {ARCHIVE} has it"
    rows = read_file(path, then)
    if rows is not None:
        return rows

    failed = path.with_name(f"{path.stem}.failed.json")
    if path.suffix != ".jsonl" or failed.exists():
        return None
    archived = packed_rows(suite).get(path.stem)
    return None if archived is None else [dict(row) for row in archived]


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

    The label, the suite, the grid, the budget, the names of the widths and of the data set, and
    where settings come from, are not part of a cell's key.
    """
    names = {
        "label": cell.label,
        "suite": cell.suite,
        "widths": cell.widths,
        "dataset": cell.dataset_name,
        "grid": cell.grid,
        "grid_settings": " ".join(cell.grid_settings),
        "tuned_settings": " ".join(cell.tuned_settings),
        "tuned_trials": cell.tuned_trials,
    }
    return names | method_columns(cell) | asdict(cell.work)


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
        if other == folder:
            continue
        record = done_file(other, cell)
        rows = _rows_elsewhere(record)
        if not rows:
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
        try:
            if cell.key in packed_rows(archive.parent):
                folders.add(archive.parent)
        except InputError as error:  # another suite's archive must not stop this one
            warnings.warn(str(error), stacklevel=2)
    return sorted(folders)


def _rows_elsewhere(record: Path) -> list[Row] | None:
    """The rows of another suite's record; None also if the system does not let it be read."""
    try:
        return read_rows(record)
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)
        return None


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
        for record in all_records(folder):
            rows += read_rows(record) or []
    else:
        for cell in cells:
            record = read_rows(done_file(folder, cell)) or read_rows(failed_file(folder, cell))
            rows += [row | current_names(cell) for row in record or []]

    return in_order(pd.DataFrame(rows), by_setting=cells is None)


def in_order(frame: pd.DataFrame, by_setting: bool = True) -> pd.DataFrame:
    """The records with the columns of every CSV first and the others by name.

    Args:
        frame: rows per cell and scored round.
        by_setting: sort the rows by setting, seed and label.
    """
    frame = frame.copy()
    absent = [column for column in FIRST_COLUMNS if column not in frame]
    frame[absent] = pd.DataFrame(index=frame.index, columns=absent, dtype=float)
    frame[TEXT_COLUMNS] = frame[TEXT_COLUMNS].astype(object).fillna("")
    if by_setting:
        frame = frame.sort_values(ORDER, ignore_index=True)
    others = sorted(set(frame.columns) - set(FIRST_COLUMNS))
    return frame.reindex(columns=[*FIRST_COLUMNS, *others]).copy()


def all_records(folder: Path) -> list[Path]:
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
