"""The file of one record: written whole, and read only if it is whole and of its cell.

A record is complete if its last row says so: that of a finished cell has the mark "last" in
``selection``, and a skipped or failed cell has one row. The last row also has a checksum of all
rows, so a changed value, a row that is missing and rows in another order are noticed. Records of
older versions have no checksum; they are read if their rows fit together.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.metrics.columns import METRICS
from mosaic.fl.files import read_sound, write_whole
from mosaic.fl.json_values import from_json, to_json

Row = dict[str, Any]

CHECKSUM = "rows_sha256"
"""The column of the last row that has the checksum. It is in the file only."""

NUMBERS = {"omega", "n_clients", "seed", "method_s", "stage_s", *METRICS}
"""Columns that have a number wherever they have a value."""

NUMBERS_FROM = ("accuracy_", "diag_", "upload_bytes_", "download_bytes_", "steps_", "stage_s_")
"""How the names of further such columns begin."""

AGAIN = "its cell runs again"


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as one line of JSON each. The file is there whole or not at all."""
    written = [{column: to_json(value) for column, value in row.items()} for row in rows]
    written[-1][CHECKSUM] = _checksum(written)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(json.dumps(row) + "\n" for row in written).encode())


def read_file(path: Path, then: str = AGAIN) -> list[Row] | None:
    """Read the file of a record; its archive is not looked at.

    Args:
        path: a file that :func:`write_rows` wrote, now or in an older version of this project.
        then: what happens if it is damaged, for the warning.

    Returns:
        Its rows, under the column names of this version; None if there is no file, or a damaged
        one: that is named in a warning and set aside, so that its cell runs again.

    Raises:
        InputError: the system does not let the file be read.
    """
    key = path.name.split(".")[0]
    return read_sound(path, partial(parse_rows, key=key), "record", then)


def parse_rows(content: bytes, key: str) -> list[Row]:
    """The rows of a record.

    Args:
        content: the bytes of its file.
        key: of the cell that it is of.

    Returns:
        The rows, under the column names of this version, without the checksum.

    Raises:
        ValueError: the rows are not what was written, or not all of them; or they were written by
            a later version that says other things.
    """
    rows = [json.loads(line) for line in content.decode().splitlines()]
    _check(rows, key)
    rows[-1].pop(CHECKSUM, None)
    return [_as_of_now(row) for row in rows]


def _checksum(rows: Sequence[Row]) -> str:
    """16 hex digits of the SHA-256 of the rows without their checksum."""
    digest = hashlib.sha256()
    for row in rows:
        values = {column: value for column, value in row.items() if column != CHECKSUM}
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()[:16]


def _check(rows: list[Any], key: str) -> None:
    if not rows:
        raise ValueError("it has no row")
    for row in rows:
        if not isinstance(row, dict) or "status" not in row:
            raise ValueError("it has a row without a status")
        if row.get("cell") != key:
            raise ValueError(f"it has a row of the cell {row.get('cell')!r}")
        _check_numbers(row)

    statuses = [row["status"] for row in rows]
    if statuses[0] not in ("done", "skipped", "failed"):
        raise ValueError(f"its status is {statuses[0]!r}; was it written by a later version?")
    if statuses != ["done"] * len(rows) and len(rows) > 1:
        raise ValueError(f"it has the statuses {', '.join(map(str, statuses))}")
    if statuses[0] == "done":
        _check_complete(rows)

    checksum = rows[-1].get(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(rows):
        raise ValueError("its rows have changed since they were written")


def _check_complete(rows: list[Row]) -> None:
    """Check that a finished cell's rows end with its last round and are in order."""
    is_last = ["last" in str(row.get("selection")).split("+") for row in rows]
    if is_last != [False] * (len(rows) - 1) + [True]:
        raise ValueError("its last row is not that of the cell's last round")
    rounds: list[Any] = [row.get("round") for row in rows]
    if any(type(number) is not int for number in rounds) or sorted(set(rounds)) != rounds:
        raise ValueError(f"its rows are of the rounds {', '.join(map(str, rounds))}")


def _check_numbers(row: Row) -> None:
    for column, value in row.items():
        if column not in NUMBERS and not column.startswith(NUMBERS_FROM):
            continue
        is_number = value is None or type(from_json(value)) in (int, float)
        if not is_number:
            raise ValueError(f"{column} is {value!r}, not a number")


def _as_of_now(row: Row) -> Row:
    """Bring a row into the form of this version: infinities as numbers, present column names.

    Older records have the name in tables as ``method`` and the name in METHODS as ``algorithm``.
    """
    row = {column: from_json(value) for column, value in row.items()}
    if "algorithm" in row:
        row["label"] = row["method"]
        row["method"] = row.pop("algorithm")
    return row
