"""A disk that is full or read-only: one line, exit code 2, nothing half-written."""

import errno
import os
import subprocess
import sys

import pytest

from benchmarks.cli import exit_code_of
from benchmarks.running import archive
from benchmarks.running.run_cell import run_cell
from benchmarks.running.session import Session
from mosaic.fl.cache import use_cache
from mosaic.fl.unfinished import UNFINISHED

RUN = [sys.executable, "-m", "benchmarks.run", "--methods=fedavg,dense", "--jobs=1", "--seeds=1"]
RUN += [
    "--omega=0.1",
    "--clients=3",
    "--widths=full",
    "--device=cpu",
    "--set=dense.epochs=1",
    "--set=dense.distil_steps=1",
]
RUN += ["--set=task.rounds=1", "--set=task.steps=1", "--set=task.base_width=4"]


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "/out/x.json")


def test_a_full_disk_is_one_line_that_names_the_file(capsys):
    assert exit_code_of(full) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left on device for /out/x.json: free some, or give another folder" in error


def test_a_full_disk_is_one_line_of_the_archive_too(tmp_path, monkeypatch, capsys):
    (tmp_path / "partitions").mkdir()
    (tmp_path / "partitions" / "a.json").write_text("{}")
    monkeypatch.setattr("benchmarks.running.archive.write_whole", full)
    assert archive.main(["pack", str(tmp_path)]) == 2
    assert "No space left on device for /out/x.json" in capsys.readouterr().err


def test_an_error_that_is_not_the_disks_keeps_its_traceback():
    def missing():
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        exit_code_of(missing)


def test_a_full_disk_is_not_the_failure_of_one_cell(tiny_cell, tmp_path, monkeypatch):
    use_cache(None)
    monkeypatch.setattr("benchmarks.running.record_file.write_whole", full)
    with pytest.raises(OSError, match="No space"):
        run_cell(tiny_cell("local"), Session(out=tmp_path))
    assert not list(tmp_path.rglob("*.failed.json"))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize("size", ("40k", "80k", "300k", "500k"))
def test_on_a_full_file_system_all_that_is_there_is_complete(size, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount).returncode != 0:
        pytest.skip("this system lets nobody mount")
    try:
        out = ["--out", str(tmp_path / "out")]
        stopped = subprocess.run([*RUN, *out], capture_output=True, text=True)
        left = list(tmp_path.rglob("*"))
        assert stopped.returncode == 2, stopped.stderr
        assert "No space left on device for" in stopped.stderr.splitlines()[-1]
        assert "Traceback" not in stopped.stderr
        assert not [path for path in left if UNFINISHED.fullmatch(path.name)]

        subprocess.run(["mount", "-o", "remount,size=100m", str(tmp_path)], check=True)
        subprocess.run([*RUN, *out], capture_output=True, check=True)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_output_that_nobody_reads_ends_the_command_without_a_word():
    command = [sys.executable, "-m", "benchmarks.metrics.columns"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
