"""What a tracker is given of a cell: its parameters, curves, figures and files."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.metrics.column_types import kind_of
from benchmarks.reporting.figures.images import label_distribution
from benchmarks.reporting.report import draw_pictures
from benchmarks.reporting.shown import Pictures
from benchmarks.running.certificates import read_label_counts
from benchmarks.running.pictures import picture_file, read_pictures
from benchmarks.running.record_file import Row
from benchmarks.texts import one_line, utf8
from mosaic.fl.json_values import to_json

PARAMETERS = (
    "label",
    "method",
    "scale",
    "dataset",
    "omega",
    "n_clients",
    "widths",
    "client_widths",
    "seed",
    "precision",
    "threads",
    "budget",
)
"""Columns that are parameters of a run beside ``task.*`` and ``config.*``."""

NO_TAGS = ("class_accuracy", "selection", "traceback")
"""Texts that are no tags: they are long, or of one round."""

RECORD = "record.jsonl"


@dataclass(frozen=True)
class TrackedCell:
    """One run of a tracker.

    Attributes:
        suite: the name of the suite's folder.
        key: the cell's key.
        name: the cell in one line.
        status: done, failed or skipped.
        record: the hash of its record; a cell with another one is written again.
        parameters: what it was run with: texts, finite numbers and truth values.
        tags: facts about it, and what ran it, as texts.
        points: per scored round its number and the metrics after it.
        figures: PNG files.
        files: the record; the generated images, if there are any.
    """

    suite: str
    key: str
    name: str
    status: str
    record: str
    parameters: dict[str, Any]
    tags: dict[str, str]
    points: list[tuple[int, dict[str, float]]]
    figures: list[Path]
    files: list[Path]

    @property
    def summary(self) -> dict[str, float]:
        """The metrics after the last round."""
        return self.points[-1][1] if self.points else {}

    @property
    def seconds(self) -> float:
        """What the cell took, with the stages that it shares with others."""
        return self.summary.get("method_s", 0.0) + self.summary.get("stage_s", 0.0)


def lines_of(rows: Sequence[Row]) -> bytes:
    """The rows of a record as lines of JSON."""
    lines = [json.dumps({name: to_json(value) for name, value in row.items()}) for row in rows]
    return utf8("".join(f"{line}\n" for line in lines))


def hash_of(record: bytes) -> str:
    """16 hex digits of the hash of a record."""
    return hashlib.sha256(record).hexdigest()[:16]


def describe(rows: Sequence[Row], folder: Path, place: Path) -> TrackedCell:
    """Describe a cell by its record.

    Args:
        rows: of the record, one per scored round.
        folder: the suite's folder, with the partitions and the generated images.
        place: where the files that a tracker copies are made.
    """
    last = rows[-1]
    parameters: dict[str, Any] = {}
    tags: dict[str, str] = {}
    for column, value in last.items():
        if value is None or value == "":
            continue
        if column in PARAMETERS or column.startswith(("task.", "config.")):
            parameters[_name(column)] = value if _is_scalar(value) else text_of(value)
        elif kind_of(column) in ("text", "truth") and column not in NO_TAGS:
            tags[_name(column)] = text_of(value)

    record = place / RECORD
    record.write_bytes(lines_of(rows))
    files = [record]
    pictures = picture_file(folder, last["cell"])
    if pictures.exists():
        files.append(pictures)
    return TrackedCell(
        suite=folder.resolve().name,
        key=last["cell"],
        name=_title(last),
        status=last["status"],
        record=hash_of(lines_of(rows)),
        parameters=parameters,
        tags=tags,
        points=[(row["round"], _numbers(row)) for row in rows if row.get("round") is not None],
        figures=_figures(last, folder, place),
        files=files,
    )


def _numbers(row: Row) -> dict[str, float]:
    """The finite metrics of a row."""
    numbers = {}
    for column, value in row.items():
        is_metric = kind_of(column) in ("number", "integer") and column not in PARAMETERS
        is_number = isinstance(value, int | float) and math.isfinite(value)
        if is_metric and is_number and column != "round":
            numbers[_name(column)] = float(value)
    return numbers


def _figures(last: Row, folder: Path, place: Path) -> list[Path]:
    """Which client holds which labels; and generated images beside real ones."""
    counts = read_label_counts(folder, str(last.get("partition")))
    if counts is not None:
        label_distribution({one_line(str(last["label"])): counts}, place)
    kept = read_pictures(picture_file(folder, last["cell"]))
    if kept is not None:
        labels = [str(last["label"])]
        images = Pictures(kept.generated, kept.real, kept.clients, labels, last)
        draw_pictures(images, place, "generated_images")
    return sorted(place.glob("*.png"))


def _name(column: str) -> str:
    """The column's name in the characters that all trackers take."""
    return re.sub(r"[^\w.-]", "_", column)


def _is_scalar(value: Any) -> bool:
    """Whether all trackers take the value as it is: infinities and lists are texts there."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)


def text_of(value: Any) -> str:
    """A value as a text; of other values than texts their JSON."""
    value = to_json(value)
    return value if isinstance(value, str) else json.dumps(value)


def _title(row: Row) -> str:
    parts = [row["label"], row.get("dataset"), f"omega={row.get('omega')}"]
    parts += [f"N={row.get('n_clients')}", row.get("widths"), f"seed={row.get('seed')}"]
    return one_line(" ".join(str(part) for part in parts))
