"""Records: they can be read without the cells that wrote them, also older ones."""

import json
import math
import warnings

import pandas as pd
import pytest

from benchmarks.planning.methods import METHODS
from benchmarks.running.record import identity
from benchmarks.running.records import (
    FIRST_COLUMNS,
    done_file,
    failed_file,
    load_records,
    method_columns,
    read_rows,
    take_over,
    write_rows,
)


def finish(folder, cell, **columns):
    """Write a record of a finished cell with these columns."""
    row = identity(cell) | {"round": 2, "selection": "last", "accuracy": 0.5} | columns
    write_rows(done_file(folder, cell), [row])
    return row


def as_older_version_wrote(row):
    """The same row under the column names of older records."""
    old = {k: v for k, v in row.items() if k not in ("label", "method")}
    return old | {"method": row["label"], "algorithm": row["method"]}


def test_a_folder_of_records_needs_no_cells(tmp_path, tiny_cell):
    other, first = tiny_cell("mosaic", "mosaic-source", seed=1), tiny_cell("mosaic")
    failed = tiny_cell("fedavg")
    finish(tmp_path, other)
    finish(tmp_path, first)
    write_rows(failed_file(tmp_path, failed), [identity(failed) | {"status": "failed"}])
    frame = load_records(tmp_path)
    assert tuple(frame.columns[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS
    assert frame["label"].tolist() == ["fedavg", "mosaic", "mosaic-source"]
    assert frame["method"].tolist() == ["fedavg", "mosaic", "mosaic"]
    assert frame["status"].tolist() == ["failed", "done", "done"]
    assert "algorithm" not in frame and frame["warnings"].tolist() == [""] * 3


def test_a_cell_that_failed_before_it_was_done_is_loaded_once(tmp_path, tiny_cell):
    cell = tiny_cell("fedavg")
    write_rows(failed_file(tmp_path, cell), [identity(cell) | {"status": "failed"}])
    finish(tmp_path, cell)
    assert load_records(tmp_path)["status"].tolist() == ["done"]


def test_an_empty_folder_is_an_empty_table_with_the_usual_columns(tmp_path):
    frame = load_records(tmp_path)
    assert len(frame) == 0 and tuple(frame.columns) == FIRST_COLUMNS


def test_with_cells_only_these_come_under_the_labels_they_have_now(tmp_path, tiny_cell):
    finish(tmp_path, tiny_cell("mosaic", "old label"))
    finish(tmp_path, tiny_cell("fedavg"))
    renamed = tiny_cell("mosaic", "new label")
    frame = load_records(tmp_path, [renamed])
    assert frame[["label", "method"]].values.tolist() == [["new label", "mosaic"]]


def test_an_older_record_reads_as_one_of_today(tmp_path, tiny_cell):
    cell = tiny_cell("mosaic", "mosaic-source", omega=math.inf)
    row = finish(tmp_path, cell)
    today = load_records(tmp_path)
    path = done_file(tmp_path, cell)
    write_rows(path, [as_older_version_wrote(row)])
    assert "algorithm" in path.read_text()
    assert load_records(tmp_path).equals(today)
    (read,) = read_rows(path)
    assert (read["label"], read["method"]) == ("mosaic-source", "mosaic")


def test_infinities_are_text_in_the_file_and_numbers_in_the_table(tmp_path, tiny_cell):
    cell = tiny_cell("fedavg", omega=math.inf)
    finish(tmp_path, cell, diag_loss=-math.inf, accuracy_teacher=math.nan, reason="info")
    (line,) = done_file(tmp_path, cell).read_text().splitlines()
    written = json.loads(line, parse_constant=pytest.fail)
    assert written["omega"] == "inf" and written["diag_loss"] == "-inf"
    assert written["accuracy_teacher"] is None
    for frame in (load_records(tmp_path), load_records(tmp_path, [cell])):
        (row,) = frame.to_dict("records")
        assert row["omega"] == math.inf and row["diag_loss"] == -math.inf
        assert pd.isna(row["accuracy_teacher"]) and row["reason"] == "info"


def test_a_record_of_an_unknown_method_has_its_own_facts(tmp_path, tiny_cell, monkeypatch):
    """A record of a user's method loads although its file was not given this time."""
    cell = tiny_cell("fedavg")
    finish(tmp_path, cell, protocol="a protocol of its own")
    # A copy: to take one out and put it back would move it to the end of METHODS.
    others = {name: method for name, method in METHODS.items() if name != "fedavg"}
    monkeypatch.setattr("benchmarks.running.records.METHODS", others)
    assert method_columns(cell) == {"method": "fedavg"}
    for frame in (load_records(tmp_path), load_records(tmp_path, [cell])):
        assert frame["protocol"].tolist() == ["a protocol of its own"]


def test_a_record_that_is_taken_over_names_the_suite_and_label_it_has_here(tmp_path, tiny_cell):
    there, here = tmp_path / "other", tmp_path / "tiny"
    finish(there, tiny_cell("mosaic", "old label"), suite="other", partition="abc")
    (there / "partitions").mkdir()
    (there / "partitions" / "abc.json").write_text("{}")
    cell = tiny_cell("mosaic", "new label")
    assert take_over(here, cell) and (here / "partitions" / "abc.json").exists()
    frame = load_records(here)
    assert frame[["suite", "label"]].values.tolist() == [["tiny", "new label"]]
    assert not take_over(here, tiny_cell("local"))


def test_a_damaged_record_is_set_aside(tmp_path, tiny_cell):
    cell = tiny_cell("fedavg")
    finish(tmp_path, cell)
    path = done_file(tmp_path, cell)
    path.write_text(path.read_text()[:50])
    with pytest.warns(UserWarning, match="damaged record .* its cell runs again"):
        assert read_rows(path) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_records(tmp_path)) == 0
