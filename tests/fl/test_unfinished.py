"""What a killed process left unfinished is removed by the next run, and nothing else is."""

import errno
import os
import subprocess
import sys

import pytest

from mosaic.fl.files import write_whole
from mosaic.fl.unfinished import machine, sweep, temporary_folder, unfinished

LEAVE_A_FILE = """
import os, sys
from pathlib import Path
from mosaic.fl.unfinished import unfinished
with unfinished(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os._exit(9)
"""


def names(folder) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_what_a_killed_process_left_is_swept_at_any_depth(tmp_path):
    inside = tmp_path / "cache" / "stage"
    inside.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", LEAVE_A_FILE, str(inside / "x.json")])
    [left] = inside.iterdir()
    assert left.name.startswith(".x.json.") and left.read_text() == "half"
    assert sweep(tmp_path) == [left]
    assert names(tmp_path) == {"cache", "stage"}


def test_files_of_living_processes_and_of_other_machines_stay(tmp_path):
    dead = 2**22 + 1  # above the greatest process id of Linux
    kept = [
        f".x.{os.getpid()}@{machine()}",
        f".x.{os.getppid()}@{machine()}",
        f".x.{dead}@another-{machine()}",
        f".x.{dead}",
        f"x.{dead}@{machine()}",
        ".hidden",
        "record.jsonl",
    ]
    for name in [*kept, f".x.{dead}@{machine()}"]:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert names(tmp_path) == set(kept)


def test_a_process_that_is_younger_than_the_file_did_not_write_it(tmp_path):
    left = tmp_path / f".x.{os.getpid()}@{machine()}"
    left.touch()
    os.utime(left, (0, 0))
    sweep(tmp_path)
    assert names(tmp_path) == set()


def test_a_temporary_folder_goes_with_its_block_and_those_of_the_dead_with_the_next(tmp_path):
    left = tmp_path / f".mosaic-bench-x.{2**22 + 1}@{machine()}"
    (left / "deep").mkdir(parents=True)
    with temporary_folder(tmp_path, "x") as folder:
        (folder / "file").touch()
        assert not left.exists() and folder.stat().st_mode & 0o77 == 0
    assert names(tmp_path) == set()


def test_an_error_leaves_nothing_unfinished(tmp_path):
    with pytest.raises(KeyboardInterrupt), unfinished(tmp_path / "x") as temporary:
        temporary.touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    def full(path, data):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space") as raised:
        write_whole(tmp_path / "x.json", b"all of it")
    assert raised.value.filename == str(tmp_path / "x.json")
    assert names(tmp_path) == set()


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".csv")
    write_whole(path, b"1")
    assert names(tmp_path) == {path.name}
