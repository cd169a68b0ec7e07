"""The whole command on a folder that was really run, and on copies that somebody has changed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import recorded

from benchmarks.api import verify
from benchmarks.running.archive import pack
from benchmarks.verify import main
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture
def changed(whole, tmp_path):
    return recorded.copied(whole, tmp_path / "results")


def found(folder: Path) -> str:
    verdict = verify(folder, cells=0)
    assert verdict.code == (1 if verdict.differences else 0), verdict.unchecked
    return "\n".join(verdict.differences)


def test_a_sound_folder_agrees_whole_and_packed(changed):
    before = recorded.state(changed)
    verdict = verify(changed, cells=2)
    assert (verdict.code, verdict.differences, verdict.unchecked) == (0, [], [])
    assert sum("equal to the last bit" in text for text in verdict.agreements) == 2
    assert recorded.state(changed) == before

    pack(changed, remove=True)
    assert found(changed) == ""


def test_a_number_that_was_typed_in_is_named(changed):
    for name, old in {
        "table.md": r"\| fedavg \| yes \| (\d)",
        "summary.csv": r"fedavg,0\.(\d)",
    }.items():
        path = changed / name
        text = path.read_text()
        match = re.search(old, text)
        assert match is not None
        digit = str((int(match[1]) + 1) % 10)
        path.write_text(text[: match.start(1)] + digit + text[match.end(1) :])
    texts = found(changed).splitlines()
    assert [text.split()[0] for text in texts] == ["table.md", "summary.csv"]
    assert all("and the records give" in text for text in texts)


def test_figures_of_other_records_and_missing_ones_are_named(changed):
    figures = changed / "figures"
    (figures / "bytes_by_kind.png").unlink()
    (figures / "accuracy_vs_bytes.png").rename(figures / "mine.png")
    (figures / "accuracy_vs_omega.png").write_bytes((figures / "learning_curves.png").read_bytes())
    texts = found(changed)
    assert "figures/bytes_by_kind.png is missing" in texts
    assert "figures/mine.png is not a figure that these records give" in texts
    assert "figures/accuracy_vs_omega.png " in texts


def test_only_a_run_finds_a_number_that_was_changed_with_its_checksum(small, tmp_path):
    folder = recorded.copied(small, tmp_path / "results")
    rows = recorded.rows_of(recorded.record(folder, "local"))
    recorded.rewrite(recorded.record(folder, "local"), accuracy=rows[-1]["accuracy"] + 0.01)
    assert verify(folder, cells=0).code == 0
    verdict = verify(folder, cells=None)
    assert verdict.code == 1 and len(verdict.differences) == 1
    assert "accuracy is" in verdict.differences[0] and "local" in verdict.differences[0]


def test_each_folders_record_of_a_cell_is_compared(small, tmp_path):
    """The cell is run once; the changed record is that of the first of two folders."""
    folders = [recorded.copied(small, tmp_path / "results" / name) for name in ("a", "b")]
    path = recorded.record(folders[0], "local")
    recorded.rewrite(path, accuracy=recorded.rows_of(path)[-1]["accuracy"] + 0.01)
    verdict = verify(tmp_path / "results", cells=None)
    assert verdict.code == 1 and len(verdict.differences) == 1
    assert "local" in verdict.differences[0] and "results/a/tiny" in verdict.differences[0]
    assert sum("equal to the last bit" in text for text in verdict.agreements) == 5


def test_the_exit_codes(small, tmp_path, capsys):
    folder = recorded.copied(small, tmp_path / "results")
    assert main([str(folder), "--cells", "1", "--jobs", "1"]) == 0
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    recorded.rewrite(recorded.record(folder, "local"), method="[bold]mine[/]\n", label="<b>x</b>")
    assert main([str(folder), "--cells", "0"]) == 2
    assert "[bold]mine[/]" in capsys.readouterr().out


def test_an_unknown_option_is_an_error(small):
    with pytest.raises(InputError, match="unknown option 'job'"):
        verify(small, job=2)


def test_a_stop_leaves_nothing_behind(small, tmp_path):
    place = tmp_path / "tmp"
    place.mkdir()
    before = recorded.state(small)
    command = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.verify", str(small), "--jobs=1"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TMPDIR": str(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any(place.glob(".mosaic-bench-verify*")):
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    command.send_signal(signal.SIGINT)
    _, printed = command.communicate(timeout=20)
    assert command.returncode == 130
    assert "nothing in the folder was changed" in printed
    assert not any(place.glob(".mosaic-bench-verify*")) and recorded.state(small) == before
