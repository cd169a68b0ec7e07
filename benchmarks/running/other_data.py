"""Records in a suite's folder that were measured on other data than those of a run.

Their keys are others, so a run neither takes them for its own nor shows them. But the user should
know that they are there.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.planning.cell import Cell
from benchmarks.planning.data import without_data
from benchmarks.running.archive import packed_rows


def on_other_data(folder: Path, cells: Sequence[Cell]) -> list[str]:
    """What to say of the records that are of other data: one line per data set and fingerprint.

    Records from before keys had fingerprints are named too, whatever data they are of.

    Args:
        folder: the suite's folder.
        cells: of the run. Those whose data are not on this machine are left out.
    """
    cells = [cell for cell in cells if cell.task.data]
    of_this_run = {cell.key for cell in cells}
    without = {without_data(cell).key for cell in cells}
    now = {cell.dataset_name: cell for cell in cells}

    found: Counter[str] = Counter()
    for key, row in _last_rows(folder):
        cell = now.get(row.get("dataset", ""))
        if cell is None or key in of_this_run:
            continue
        difference = _difference(row, cell)
        if difference:
            found[f"other data of {cell.dataset_name} ({difference})"] += 1
        elif key in without:
            old = f"data of {cell.dataset_name} that the key does not name"
            found[f"{old} (now {cell.task.data})"] += 1

    return [
        f"{_cells(n, folder)} measured on {data}: left alone, and in no table"
        for data, n in sorted(found.items())
    ]


def _difference(row: dict[str, Any], cell: Cell) -> str:
    """How a row's data differ from the cell's; "" if they do not, or if the row does not say."""
    data = row.get("data") or cell.task.data
    test_data = row.get("test_data") or cell.test_data
    if data != cell.task.data:
        return f"{data}, now {cell.task.data}"
    if test_data != cell.test_data:
        return f"test images {test_data}, now {cell.test_data}"
    return ""


def _cells(n: int, folder: Path) -> str:
    return f"1 cell in {folder} was" if n == 1 else f"{n} cells in {folder} were"


def _last_rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The key and the last row of each record in a suite's folder or its archive."""
    packed = packed_rows(folder)
    for key, rows in packed.items():
        yield key, rows[-1]

    for path in sorted((folder / "cells").glob("*.jsonl")):
        if path.stem in packed:
            continue
        try:
            yield path.stem, dict(json.loads(path.read_text().splitlines()[-1]))
        except (OSError, ValueError, TypeError, IndexError):
            continue  # a damaged record; reading it as a cell's says so
