"""Records: one finished cell = one file. It exists = the cell is done.

``cells/<key>.jsonl`` has one flat JSON row a scored round, or one row for a skipped cell. A failed cell leaves
``cells/<key>.failed.json`` with its traceback instead and is tried again by the next run.
"""

import json
import math
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import facts_of
from mosaic.fl.files import write_whole

FIRST_COLUMNS = (
    *(
        "suite",
        "cell",
        "method",
        "status",
        "dataset",
        "omega",
        "n_clients",
        "widths",
        "seed",
        "scale",
        "round",
    ),
    *(
        "selection",
        "accuracy",
        "accuracy_validation",
        "accuracy_before",
        "accuracy_teacher",
        "accuracy_ensemble",
    ),
    *(
        "fid_domain",
        "fid_domain_floor",
        "is_domain",
        "is_domain_real",
        "kid_domain",
        "kid_domain_floor",
    ),
    *("fid_inception", "fid_inception_floor", "is_inception", "is_inception_real", "kid_inception"),
    *(
        "kid_inception_floor",
        "fidelity_n",
        "upload_bytes",
        "download_bytes",
        "method_s",
        "stage_s",
        "flops",
    ),
    *("peak_memory_bytes", "partition", "reason", "warnings"),
)
"""The columns every CSV has, in this order; the others follow by name."""


def done_file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.key}.jsonl"


def failed_file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.key}.failed.json"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    text = "".join(json.dumps({k: _plain(v) for k, v in row.items()}) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are null and text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else repr(value)
    return value


def read_rows(path: Path) -> list[dict[str, Any]] | None:
    """The rows of a record; None where there is none. A damaged one is set aside, so that its cell runs again."""
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if not rows or not all(isinstance(row, dict) and "status" in row for row in rows):
            raise ValueError("no row, or one without a status")
    except FileNotFoundError:
        return None
    except (ValueError, UnicodeDecodeError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        warnings.warn(
            f"damaged record {path}: {error}; set aside as {aside.name}, its cell runs again",
            stacklevel=2,
        )
        return None
    for row in rows:
        row["omega"] = float(row["omega"])  # "inf" is text in JSON
    return rows


def method_columns(cell: Cell) -> dict[str, Any]:
    """What tables tell of a cell's method, whatever its record was written with: its algorithm, protocol, needs ..."""
    facts = facts_of(cell.method, cell.config)
    return {"algorithm": cell.method} | {
        k: v for k, v in facts.items() if k not in ("idea", "paper")
    }


def files_of(folder: Path, cell: Cell) -> list[Path]:
    """All that a cell left in its suite's folder; its record is the last: where that is, all else is."""
    row = (read_rows(done_file(folder, cell)) or [{}])[-1]
    found = [
        folder / "partitions" / f"{row.get('partition')}.json",
        folder / "pictures" / f"{cell.key}.npz",
    ]
    return [
        path
        for path in [*found, failed_file(folder, cell), done_file(folder, cell)]
        if path.exists()
    ]


def take_over(folder: Path, cell: Cell) -> bool:
    """Copy what the same cell left in another suite's folder beside this one; False where none has its record."""
    for other in sorted(
        path.parent.parent for path in folder.parent.glob(f"*/cells/{cell.key}.jsonl")
    ):
        if other != folder and read_rows(done_file(other, cell)):
            for path in files_of(other, cell):
                own = folder / path.relative_to(other)
                own.parent.mkdir(parents=True, exist_ok=True)
                write_whole(own, path.read_bytes())
            return True
    return False


def load_records(folder: Path, cells: Iterable[Cell]) -> pd.DataFrame:
    """The records of these cells, one row a cell and scored round, under the labels that the cells have now."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        found = read_rows(done_file(folder, cell)) or read_rows(failed_file(folder, cell)) or []
        named = {"method": cell.label, "suite": cell.suite, "widths": cell.widths}
        rows += [row | named | method_columns(cell) for row in found]
    frame = pd.DataFrame(rows)
    first = [column for column in FIRST_COLUMNS if column not in frame]
    frame[first] = pd.DataFrame(index=frame.index, columns=first, dtype=float)
    frame[["reason", "warnings", "selection"]] = (
        frame[["reason", "warnings", "selection"]].astype(object).fillna("")
    )
    return frame[[*FIRST_COLUMNS, *sorted(set(frame.columns) - set(FIRST_COLUMNS))]].copy()
