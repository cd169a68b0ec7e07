"""The cells of an archive count as finished, wherever records are read."""

import pytest

from benchmarks.running.archive import pack
from benchmarks.running.record import identity
from benchmarks.running.records import (
    done_file,
    failed_file,
    load_records,
    read_rows,
    take_over,
    write_rows,
)

LAST = {"round": 2, "selection": "last"}


@pytest.fixture
def cell(tiny_cell):
    return tiny_cell("fedavg")


@pytest.fixture
def packed(tmp_path, cell):
    """A suite's folder whose only cell is in its archive."""
    folder = tmp_path / "first"
    row = LAST | {"accuracy": 0.5, "partition": "p1"}
    write_rows(done_file(folder, cell), [identity(cell) | row])
    (folder / "partitions").mkdir()
    (folder / "partitions" / "p1.json").write_text("{}")
    pack(folder, remove=True)
    assert not done_file(folder, cell).exists()
    return folder


def test_its_rows_are_read(packed, cell):
    [row] = read_rows(done_file(packed, cell))
    assert row["accuracy"] == 0.5
    assert row["omega"] == cell.task.omega
    row["accuracy"] = 0.9  # a caller's changes stay the caller's
    assert read_rows(done_file(packed, cell))[0]["accuracy"] == 0.5


def test_all_records_include_it(packed, cell):
    assert load_records(packed)["cell"].tolist() == [cell.key]
    assert load_records(packed, [cell])["status"].tolist() == ["done"]


def test_a_file_comes_before_the_archive(packed, cell):
    write_rows(done_file(packed, cell), [identity(cell) | LAST | {"accuracy": 0.7}])
    assert read_rows(done_file(packed, cell))[0]["accuracy"] == 0.7
    assert load_records(packed)["accuracy"].tolist() == [0.7]


def test_a_cell_that_failed_since_is_not_done(packed, cell):
    write_rows(failed_file(packed, cell), [identity(cell) | {"status": "failed"}])
    assert read_rows(done_file(packed, cell)) is None
    assert load_records(packed)["status"].tolist() == ["failed"]
    assert load_records(packed, [cell])["status"].tolist() == ["failed"]


def test_a_failure_from_before_it_was_done_is_forgotten(tmp_path, cell):
    write_rows(failed_file(tmp_path, cell), [identity(cell) | {"status": "failed"}])
    write_rows(done_file(tmp_path, cell), [identity(cell) | LAST | {"accuracy": 0.5}])
    pack(tmp_path, remove=True)
    assert load_records(tmp_path)["status"].tolist() == ["done"]


def test_another_suite_takes_it_over_with_its_partition(packed, cell):
    other = packed.parent / "second"
    assert take_over(other, cell)
    assert done_file(other, cell).exists()
    assert (other / "partitions" / "p1.json").exists()
