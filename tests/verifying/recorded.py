"""What the tests of verification share: a small folder that was really run, and its changes."""

import dataclasses
import json
import shutil
from pathlib import Path

from benchmarks.planning.cell import Cell
from benchmarks.planning.data import fingerprints, splits_of, with_data
from benchmarks.planning.settings import configure
from benchmarks.running.folder_content import read_content
from benchmarks.running.record_file import CHECKSUM, write_rows
from benchmarks.running.run_cell import run_cell
from benchmarks.running.session import Session, prepare
from benchmarks.verifying.integrity import check_partitions, check_records, known_cells
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.task import Task

TASK = Task(
    n_train=240,
    omega=1.0,
    n_clients=3,
    rounds=2,
    score_every=1,
    steps=3,
    batch_size=16,
    base_width=4,
    lr=0.05,
)


def cell(method: str, label: str = "", **changes) -> Cell:
    """A cell of the tiny task, with its data in its key."""
    made = Cell(
        suite="tiny",
        scale="quick",
        label=label or method,
        method=method,
        task=dataclasses.replace(TASK, **changes),
        config=configure(method, {}),
        widths="full",
        fidelity_n=180,
    )
    [made] = with_data([made], fingerprints(splits_of([made]), download=False))
    return made


def run(folder: Path, cells: list[Cell]) -> Path:
    """Run cells into a folder of results; return the suite's folder."""
    session = Session(folder)
    prepare(session)
    for made in cells:
        assert run_cell(made, session).status == "done"
    return session.folder("tiny")


def rows_of(path: Path) -> list[dict]:
    """The rows of a record as they are in its file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, **changes) -> None:
    """Change columns in all rows of a record, and its checksum with them."""
    rows = rows_of(path)
    for row in rows:
        row.pop(CHECKSUM, None)
        row.update(changes)
    write_rows(path, rows)


def record(folder: Path, label: str) -> Path:
    """The file of the first record of a label."""
    files = sorted((folder / "cells").glob("*.jsonl"))
    return next(path for path in files if rows_of(path)[-1]["label"] == label)


def copied(folder: Path, into: Path) -> Path:
    """A copy of a suite's folder that a test may change."""
    return Path(shutil.copytree(folder, into / folder.name))


def state(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def integrity(folder: Path, scratch: Path) -> Verdict:
    """What is found in a folder without its pages."""
    verdict = Verdict()
    content = read_content(folder)
    check_records(content, verdict)
    cells = known_cells(content, (), verdict)
    copy = scratch / "copy"
    (copy / "partitions").mkdir(parents=True)
    for name, data in content.certificates.items():
        (copy / "partitions" / f"{name}.json").write_bytes(data)
    check_partitions(content, cells, copy, verdict)
    return verdict
