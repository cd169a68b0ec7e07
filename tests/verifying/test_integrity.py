"""What is found in a folder without running anything: records, keys, partitions."""

import json
import warnings

import pytest
import recorded
from recorded import integrity, record, rewrite, rows_of

from benchmarks.running.archive import ARCHIVE, pack
from benchmarks.running.folder_content import read_content, suite_folders
from mosaic.fl.errors import InputError


@pytest.fixture(autouse=True)
def nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("packed", [False, True], ids=["files", "archive"])
def test_a_sound_folder_agrees_and_is_not_changed(folder, tmp_path, packed):
    if packed:
        pack(folder, remove=True)
    before = recorded.state(folder)
    verdict = integrity(folder, tmp_path)
    assert (verdict.code, verdict.unchecked) == (0, [])
    assert "3 records with the checksum" in verdict.agreements[0]
    assert "3 records with the key" in verdict.agreements[1]
    assert "2 partitions, made again" in verdict.agreements[2]
    assert recorded.state(folder) == before


def test_a_changed_digit_of_a_record_is_found(folder, tmp_path):
    path = record(folder, "fedavg")
    text = path.read_text()
    accuracy = json.loads(text.splitlines()[-1])["accuracy"]
    path.write_text(text.replace(f'"accuracy": {accuracy}', '"accuracy": 0.99'))
    before = recorded.state(folder)
    verdict = integrity(folder, tmp_path)
    assert verdict.code == 1
    assert f"cells/{path.name}: its rows have changed" in verdict.differences[0]
    assert recorded.state(folder) == before  # a run would have set it aside


def test_a_changed_byte_of_an_archive_is_found(folder, tmp_path):
    archive = pack(folder, remove=True)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    verdict = integrity(folder, tmp_path)
    assert verdict.code == 1 and verdict.differences[0].startswith(f"damaged: {ARCHIVE}: the part")


def test_half_of_a_record_is_found(folder, tmp_path):
    path = record(folder, "local")
    path.write_bytes(path.read_bytes()[:-200])
    verdict = integrity(folder, tmp_path)
    assert verdict.code == 1 and path.name in verdict.differences[0]


def test_swapped_certificates_are_found(folder, tmp_path):
    first, second = sorted((folder / "partitions").glob("*.json"))
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    verdict = integrity(folder, tmp_path)
    assert len([text for text in verdict.differences if "of another partition" in text]) == 2


def test_a_certificate_with_other_counts_under_its_own_name_is_found(folder, tmp_path):
    path = sorted((folder / "partitions").glob("*.json"))[0]
    certificate = json.loads(path.read_bytes())
    counts = certificate["label_counts"]
    counts[0], counts[1] = counts[1], counts[0]
    sizes = certificate["sizes"]
    sizes[0], sizes[1] = sizes[1], sizes[0]
    path.write_text(json.dumps(certificate))
    verdict = integrity(folder, tmp_path)
    assert f"{path.name}: label_counts is not what the data and the task give" in " ".join(
        verdict.differences
    )


@pytest.mark.parametrize("content", ["[]", "null", "3", "{}"])
def test_a_certificate_that_is_none_is_damaged(folder, tmp_path, content):
    path = sorted((folder / "partitions").glob("*.json"))[0]
    path.write_text(content)
    verdict = integrity(folder, tmp_path)
    assert f"partitions/{path.name} is damaged" in verdict.differences[0]


def test_a_record_that_names_another_partition_is_found(folder, tmp_path):
    names = {rows_of(path)[-1]["partition"]: path for path in (folder / "cells").glob("*.jsonl")}
    (name, path), (other, _) = names.items()
    rewrite(path, partition=other)
    verdict = integrity(folder, tmp_path)
    assert f"its partition is {other}, and its task gives {name}" in verdict.differences[0]


def test_a_missing_certificate_is_found(folder, tmp_path):
    path = sorted((folder / "partitions").glob("*.json"))[0]
    path.unlink()
    assert f"partitions/{path.name} is missing" in integrity(folder, tmp_path).differences[0]


def test_a_record_of_other_settings_than_its_key_is_found(folder, tmp_path, monkeypatch):
    """By this commit itself it is a difference; by another one nobody can say."""
    path = record(folder, "fedavg")
    rewrite(path, commit="0123456789ab", **{"task.lr": 0.5})
    verdict = integrity(folder, tmp_path)
    assert verdict.code == 2 and "keys that this code does not give" in verdict.unchecked[0]

    here = {"commit": "0123456789ab"}
    monkeypatch.setattr("benchmarks.verifying.integrity.environment", lambda: here)
    verdict = integrity(folder, tmp_path / "again")
    assert f"record {path.stem} names the commit of this code" in verdict.differences[0]


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"method": "fedavgg"}, "unknown method 'fedavgg'; did you mean 'fedavg'.*--methods"),
        ({"dataset": "digitz"}, "unknown data set 'digitz'.*--datasets"),
        ({"task.model": "cnn3"}, "unknown model 'cnn3'"),
        ({"task.colour": 1}, "unknown setting of task 'colour'"),
        ({"client_widths": "wide"}, "not a record of a cell of this version"),
        ({"my_metric": 0.5, "seed": 7}, "my_metric of metrics from outside.*--metrics"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_unknown_cell_is_an_explained_reason(folder, tmp_path, changes, text):
    rewrite(record(folder, "local"), **changes)
    verdict = integrity(folder, tmp_path)
    assert verdict.code == 2
    pytest.raises(InputError, _raise, verdict.unchecked[0]).match(text)


def _raise(text):
    raise InputError(text)


def test_records_without_checksums_are_said_to_have_none(folder, tmp_path):
    path = record(folder, "local")
    rows = rows_of(path)
    rows[-1].pop("rows_sha256")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    verdict = integrity(folder, tmp_path)
    assert verdict.code == 0 and "1 record without a checksum" in verdict.notes[0]


def test_the_suites_below_a_folder_are_found(folder, tmp_path):
    root = folder.parent
    recorded.copied(folder, root / "laptop")
    recorded.copied(folder, root / "tuning")  # a study is no suite
    (root / "empty").mkdir()
    assert suite_folders(root) == [root / "laptop" / "tiny", root / "tiny"]
    assert suite_folders(folder) == [folder]
    with pytest.raises(InputError, match="has no records: neither cells/ nor records.jsonl.gz"):
        suite_folders(root / "empty")
    with pytest.raises(InputError, match="does not exist; give a suite's folder"):
        suite_folders(root / "nowhere")
    with pytest.raises(InputError, match="is a file"):
        suite_folders(record(folder, "local"))


def test_a_file_counts_before_the_archive(folder):
    pack(folder)
    rewrite(record(folder, "local"), accuracy=0.5)
    rows = read_content(folder).rows[record(folder, "local").stem]
    assert [row["accuracy"] for row in rows] == [0.5]  # it is scored once
