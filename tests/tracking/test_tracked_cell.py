"""What a tracker is given of a cell."""

from pathlib import Path

from benchmarks.running.records import read_rows
from benchmarks.tracking.tracked_cell import TrackedCell, describe


def described(suite: Path, name: str, tmp_path: Path) -> TrackedCell:
    rows = read_rows(suite / "cells" / name)
    assert rows
    return describe(rows, suite, tmp_path)


def test_parameters_tags_and_metrics_are_told_apart(suite, tmp_path, unrendered):
    cell = described(suite, "0000000000000000.jsonl", tmp_path)
    assert cell.parameters["label"] == "fed/avg ü" and cell.parameters["config.lr"] == 0.5
    assert cell.parameters["task.rounds"] == 2 and cell.parameters["seed"] == 4
    assert cell.tags["torch"] == "2.9" and "torch" not in cell.parameters
    seconds = {"method_s": 2.5, "stage_s": 60.0}
    # infinities are left out: not every tracker has them
    assert cell.points == [
        (1, {"accuracy": 0.25, "upload_bytes": 8.0}),
        (2, {"accuracy": 0.5, "upload_bytes": 16.0, "fid_domain": 7.5} | seconds),
    ]
    assert cell.summary["accuracy"] == 0.5


def test_a_cell_has_its_partition_and_its_generated_images_as_figures(suite, tmp_path, figures):
    cell = described(suite, "0000000000000000.jsonl", tmp_path)
    assert [path.name for path in cell.figures] == [
        "generated_images.png",
        "label_distribution.png",
    ]
    assert [path.name for path in cell.files] == ["record.jsonl", "0000000000000000.npz"]


def test_a_failed_cell_has_its_reason(suite, tmp_path, unrendered):
    cell = described(suite, "ffffffffffffffff.failed.json", tmp_path)
    assert (cell.status, cell.tags["reason"]) == ("failed", "no memory")
    assert cell.points == [] and cell.summary == {} and cell.figures == []
