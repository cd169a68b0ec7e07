"""A record counts only if it is whole: what is damaged is named, set aside and made again."""

import json
import math
import warnings
from dataclasses import replace

import pytest
from helpers import few_steps

from benchmarks.running.archive import pack, packed_rows
from benchmarks.running.certificates import (
    certificate_file,
    read_label_counts,
    restore_certificates,
    write_certificate,
)
from benchmarks.running.pictures import picture_file
from benchmarks.running.record_file import CHECKSUM, write_rows
from benchmarks.running.records import done_file, read_rows, take_over
from benchmarks.running.request import Request
from benchmarks.running.run_cell import is_finished, run_cell
from benchmarks.running.suite_run import open_run
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture
def rows(tiny_cell):
    """Ten scored rounds, as a run writes them."""
    key = tiny_cell("fedavg").key
    rows = [{"cell": key, "status": "done", "round": t, "accuracy": t / 10} for t in range(1, 11)]
    return [row | {"selection": "last" if row["round"] == 10 else ""} for row in rows]


@pytest.fixture
def record(tmp_path, tiny_cell, rows):
    """The file of these rows."""
    path = done_file(tmp_path, tiny_cell("fedavg"))
    write_rows(path, rows)
    return path


def older(path):
    """Take the checksum out, as records of older versions have none."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1].pop(CHECKSUM, None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_whole_record_is_read_as_it_was_written_with_and_without_a_checksum(record, rows):
    assert read_rows(record) == rows
    older(record)
    assert read_rows(record) == rows


@pytest.mark.parametrize("n_rows", range(10))
def test_a_record_that_ends_after_any_of_its_rounds_but_the_last_is_not_complete(record, n_rows):
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:n_rows]))
    with pytest.warns(UserWarning, match="damaged record .* its cell runs again"):
        assert read_rows(record) is None
    assert record.with_name(f"{record.name}.damaged").read_text() == "".join(lines[:n_rows])


def swapped(rows):
    return [rows[1], rows[0], *rows[2:]]


def of_another_cell(rows):
    return [*rows[:-1], rows[-1] | {"cell": "0123456789abcdef"}]


CHANGES = {
    "a row twice": lambda rows: [rows[0], *rows],
    "the last row twice": lambda rows: [*rows, rows[-1]],
    "out of order": swapped,
    "another cell": of_another_cell,
    "text for a number": lambda rows: [rows[0] | {"accuracy": "high"}, *rows[1:]],
    "a list for a number": lambda rows: [rows[0] | {"accuracy": [0.1]}, *rows[1:]],
    "a truth for a number": lambda rows: [rows[0] | {"accuracy": True}, *rows[1:]],
    "no round": lambda rows: [{"cell": r["cell"], "status": "done"} for r in rows[:1]] + rows[1:],
    "a status of a later version": lambda rows: [row | {"status": "paused"} for row in rows],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_rows_that_do_not_fit_together_are_damage_also_without_a_checksum(record, rows, change):
    write_rows(record, change([dict(row) for row in rows]))
    older(record)
    with pytest.warns(UserWarning, match="damaged record"):
        assert read_rows(record) is None


def test_a_changed_number_or_a_missing_row_or_field_does_not_fit_the_checksum(record):
    text = record.read_text()
    lines = text.splitlines(keepends=True)
    changes = [
        text.replace("0.3", "0.8"),
        "".join(lines[:3] + lines[4:]),
        text.replace('"accuracy": 0.3, ', ""),
        text.replace('"accuracy": 0.3', '"accuracy": null'),
    ]
    for changed in changes:
        record.write_text(changed)
        with pytest.warns(UserWarning, match="have changed since they were written"):
            assert read_rows(record) is None
    names = sorted(path.name for path in record.parent.glob("*.damaged*"))
    assert len(names) == len(changes)  # none has taken the place of an earlier one


def test_columns_of_a_later_version_are_read(record, rows):
    later = [row | {"new_column": {"of": "a new kind"}} for row in rows]
    write_rows(record, later)
    assert read_rows(record) == later


def test_a_folder_in_the_place_of_a_record_is_set_aside(record, rows):
    record.unlink()
    record.mkdir()
    with pytest.warns(UserWarning, match="it is a folder"):
        assert read_rows(record) is None
    record.mkdir()
    with pytest.warns(UserWarning, match="it is a folder"):
        write_rows(record, rows)
    assert read_rows(record) == rows


def test_a_record_that_the_system_does_not_read_is_an_error_that_names_it(record):
    record.unlink()
    record.symlink_to(record)  # a loop: unreadable for every user
    with pytest.raises(InputError, match="cannot read the record .*jsonl"):
        read_rows(record)
    assert record.is_symlink()


def test_a_damaged_record_is_read_from_the_archive_that_has_it(record, rows, tmp_path):
    pack(tmp_path)
    record.write_text("")
    with pytest.warns(UserWarning, match="unless records.jsonl.gz has it"):
        assert read_rows(record) == rows


def test_another_suites_unreadable_archive_is_named_and_stops_nothing(tmp_path, tiny_cell):
    (tmp_path / "other").mkdir()
    archive = tmp_path / "other" / "records.jsonl.gz"
    archive.mkdir()
    with pytest.warns(UserWarning, match="cannot read the archive .*other"):
        assert not take_over(tmp_path / "tiny", tiny_cell("fedavg"))


# Runs


def test_a_cell_whose_pictures_are_damaged_runs_again(session, tiny_cell):
    cell = tiny_cell("fedavg")
    folder = session.folder("tiny")
    run_cell(cell, session)
    before = read_rows(done_file(folder, cell))
    pictures = picture_file(folder, cell.key)
    assert is_finished(folder, cell)  # as a checkout, which has no pictures

    pictures.parent.mkdir()
    pictures.write_bytes(b"PK")
    with pytest.warns(UserWarning, match="damaged file of pictures .*makes it again"):
        assert not is_finished(folder, cell)
    assert not is_finished(folder, cell)  # also if the run is stopped here
    run_cell(cell, session)
    after = read_rows(done_file(folder, cell))
    assert after[-1]["method_s"] != before[-1]["method_s"]
    assert after[-1]["accuracy"] == before[-1]["accuracy"]


@pytest.mark.slow
def test_pictures_that_are_damaged_are_made_again_by_their_cell(session, tiny_mosaic):
    folder = session.folder("tiny")
    run_cell(tiny_mosaic, session)
    pictures = picture_file(folder, tiny_mosaic.key)
    first = pictures.read_bytes()
    before = read_rows(done_file(folder, tiny_mosaic))
    assert is_finished(folder, tiny_mosaic)

    pictures.write_bytes(first[:-20])
    with pytest.warns(UserWarning, match="damaged file of pictures"):
        assert not is_finished(folder, tiny_mosaic)
    assert not is_finished(folder, tiny_mosaic)  # also if the run was stopped here
    run_cell(tiny_mosaic, session)
    assert is_finished(folder, tiny_mosaic) and pictures.read_bytes() == first
    after = read_rows(done_file(folder, tiny_mosaic))
    assert [row["accuracy"] for row in after] == [row["accuracy"] for row in before]


@pytest.fixture
def tiny_mosaic(tiny_cell):
    """A cell that generates images, in well below a second."""
    from benchmarks.planning.settings import configure

    few = {"generator_steps": 2, "distil_steps": 2, "ngf": 4, "distil_batch": 30}
    config = configure("mosaic", few_steps("mosaic") | few)
    return tiny_cell("mosaic", config=config)


def request(out, **changes):
    return Request(
        **{
            "suite": "heterogeneity",
            "out": out,
            "omega": [0.1],
            "clients": [3],
            "seeds": [0],
            "widths": ["full"],
            "methods": ["fedavg"],
            "jobs": 1,
            "device": "cpu",
            "precision": "fp32",
            "settings": {"task": {"rounds": 2, "steps": 2, "base_width": 4}},
        }
        | changes
    )


def test_force_runs_also_what_an_archive_has(tmp_path):
    run = open_run(request(tmp_path))
    run.execute()
    pack(run.folder, remove=True)
    [key] = packed_rows(run.folder)
    archived = packed_rows(run.folder)[key]

    open_run(request(tmp_path, force=True)).execute()
    [fresh] = (run.folder / "cells").glob("*.jsonl")
    assert read_rows(fresh)[-1]["method_s"] != archived[-1]["method_s"]
    assert read_rows(fresh)[-1]["accuracy"] == archived[-1]["accuracy"]
    assert packed_rows(run.folder) == {}  # the old rows are nowhere


def test_a_damaged_certificate_is_written_again_by_the_next_run(tmp_path):
    run = open_run(request(tmp_path))
    records, _ = run.execute()
    name = records["partition"].iloc[0]
    path = certificate_file(run.folder, name)
    whole = path.read_bytes()
    for damaged in (whole[:40], whole.replace(b'"sizes"', b'"sizez"'), b"[]", b"\xff"):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged partition .*writes it again"):
            restore_certificates(run.folder, run.cells)
        assert path.read_bytes() == whole
    assert len(list(path.parent.glob("*.damaged*"))) == 4
    path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_label_counts(run.folder, name) is None


def test_certificates_of_labels_with_other_numbers_are_two(tmp_path, tiny_cell, monkeypatch):
    """With an infinite omega the clients have the same positions, whatever classes are called."""
    cell = tiny_cell("fedavg")
    cell = replace(cell, task=replace(cell.task, omega=math.inf))
    first, _ = write_certificate(cell, tmp_path)
    monkeypatch.setattr("benchmarks.running.certificates.fingerprint", lambda images: "other")
    second, _ = write_certificate(cell, tmp_path)
    assert first != second and read_label_counts(tmp_path, first) is not None
