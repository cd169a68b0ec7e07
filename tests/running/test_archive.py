"""The archive of a suite's records: lossless, deterministic, never in the way of newer files."""

import gzip
import json

import pandas as pd
import pytest

from benchmarks.running.archive import ARCHIVE, forget, main, pack, packed_rows, unpack
from benchmarks.running.archive_file import MEMBER
from mosaic.fl.errors import InputError

PARTITION = '{"sha256": "p1", "omega": "inf", "note": "ω and a\\nnew line"}'


@pytest.fixture
def suite(tmp_path):
    """A suite's folder with two finished cells (of two rows and of one) and a partition."""
    folder = tmp_path / "suite"
    for name in ("cells", "partitions", "pictures"):
        (folder / name).mkdir(parents=True)
    rows = [done("b2", omega="inf", accuracy=0.1), done("b2", omega="inf", accuracy=0.1)]
    rows[0] |= {"round": 1, "selection": ""}
    write(folder, "b2", rows)
    write(folder, "a1", [{"cell": "a1", "status": "skipped", "omega": 0.1, "reason": "“no”"}])
    (folder / "partitions" / "p1.json").write_text(PARTITION)
    (folder / "pictures" / "b2.npz").write_bytes(b"images")
    (folder / "cells" / "c3.failed.json").write_text("{}")
    return folder


def done(key, **columns):
    """The last row of a finished cell's record."""
    return {"cell": key, "status": "done", "round": 2, "selection": "last"} | columns


def write(folder, key, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "cells" / f"{key}.jsonl").write_text(text)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.json*")
        if path.name != ARCHIVE and "failed" not in path.name
    }


def test_unpacked_files_are_the_packed_ones_byte_for_byte(suite, tmp_path):
    before = content(suite)
    pack(suite)
    assert content(suite) == before  # packing removes nothing unless asked
    restored = unpack(suite, into=tmp_path / "elsewhere")
    assert content(tmp_path / "elsewhere") == before and len(restored) == 3


def test_equal_files_give_an_equal_archive(suite):
    first = pack(suite).read_bytes()
    (suite / ARCHIVE).unlink()
    for path in suite.rglob("*.jsonl"):
        path.write_bytes(path.read_bytes())  # a new time
    assert pack(suite).read_bytes() == first
    assert first[4:8] == bytes(4)  # the time in gzip's header


def test_packed_files_are_removed_when_asked_and_come_back(suite):
    before = content(suite)
    pack(suite, remove=True)
    assert content(suite) == {}
    assert (suite / "pictures" / "b2.npz").exists() and (
        suite / "cells" / "c3.failed.json"
    ).exists()
    unpack(suite)
    assert content(suite) == before
    assert unpack(suite) == []  # all is there


def test_a_file_that_exists_is_not_overwritten(suite):
    pack(suite)
    newer = [done("a1", omega=0.1, accuracy=0.5)]
    write(suite, "a1", newer)
    unpack(suite)
    assert json.loads((suite / "cells" / "a1.jsonl").read_text()) == newer[0]


def test_a_new_archive_keeps_what_only_the_old_one_has(suite):
    pack(suite, remove=True)
    (suite / "cells").mkdir(exist_ok=True)
    write(suite, "d4", [done("d4", omega=1.0)])
    write(suite, "a1", [done("a1", omega=0.1)])
    pack(suite)
    rows = packed_rows(suite)
    assert sorted(rows) == ["a1", "b2", "d4"]
    assert rows["a1"][0]["status"] == "done"  # the file, not the archived row
    assert [row["round"] for row in rows["b2"]] == [1, 2]


def test_rows_by_cell_follow_a_changed_archive(suite):
    assert packed_rows(suite) == {}
    pack(suite)
    assert sorted(packed_rows(suite)) == ["a1", "b2"]
    write(suite, "d4", [done("d4", omega=1.0)])
    pack(suite)
    assert sorted(packed_rows(suite)) == ["a1", "b2", "d4"]


def test_pandas_reads_an_archive(suite):
    frame = pd.read_json(pack(suite), lines=True)
    assert list(frame[frame["status"] == "done"]["round"]) == [1, 2]


def test_a_file_under_a_foreign_name_is_refused(suite):
    write(suite, "e5", [done("a1")])
    with pytest.raises(InputError, match="cannot pack .*e5.jsonl: it has a row of the cell 'a1'"):
        pack(suite, remove=True)
    assert (suite / "cells" / "e5.jsonl").exists()


def test_of_an_archive_that_was_cut_short_the_cells_before_the_cut_are_read(suite):
    archive = pack(suite, remove=True)
    archive.write_bytes(archive.read_bytes()[:-9])  # gzip's checksum, and the end of the last line
    with pytest.warns(UserWarning, match="damaged archive .*ends too early. 2 cells can be read"):
        assert sorted(packed_rows(suite)) == ["a1", "b2"]
    assert archive.exists()  # a committed one can be restored


def test_damage_reaches_the_cells_of_its_part_only(suite, monkeypatch):
    monkeypatch.setattr("benchmarks.running.archive_file.PART_SIZE", 1)  # a part per line
    archive = pack(suite, remove=True)
    whole = packed_rows(suite)
    data = archive.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(MEMBER, at)]
    assert len(starts) == 3  # two cells and a partition
    for start, end, lost in zip(starts, [*starts[1:], len(data)], ["a1", "b2", None], strict=True):
        middle = (start + end) // 2
        archive.write_bytes(data[:middle] + bytes(4) + data[middle + 4 :])
        with pytest.warns(UserWarning, match="damaged archive"):
            read = packed_rows(suite)
        assert read == {key: rows for key, rows in whole.items() if key != lost}


def test_a_line_that_is_no_row_is_named_and_the_others_are_read(suite):
    archive = pack(suite, remove=True)
    lines = gzip.decompress(archive.read_bytes())
    archive.write_bytes(gzip.compress(b"[]\n" + lines))
    with pytest.warns(UserWarning, match="a line that cannot be read"):
        assert len(unpack(suite)) == 3


def test_an_archive_of_one_part_is_read_as_the_older_versions_wrote_it(suite):
    archive = pack(suite)
    rows = packed_rows(suite)
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()), mtime=0))
    assert packed_rows(suite) == rows


def test_packing_again_sets_a_damaged_archive_aside_and_keeps_what_could_be_read(suite):
    archive = pack(suite, remove=True)
    archive.write_bytes(archive.read_bytes()[:-9])
    (suite / "cells").mkdir(exist_ok=True)
    write(suite, "d4", [done("d4", omega=1.0)])
    with (
        pytest.warns(UserWarning, match="2 cells can be read"),
        pytest.warns(UserWarning, match="set aside as records.jsonl.gz.damaged"),
    ):
        pack(suite)
    assert sorted(packed_rows(suite)) == ["a1", "b2", "d4"]


def test_cells_that_are_run_again_leave_the_archive(suite):
    pack(suite, remove=True)
    forget(suite, {"b2"})
    assert sorted(packed_rows(suite)) == ["a1"]
    assert [path.name for path in unpack(suite)] == ["a1.jsonl", "p1.json"]


def test_the_command(suite, tmp_path, capsys):
    assert main(["pack", "--remove", str(suite)]) == 0
    assert main(["unpack", str(suite)]) == 0
    assert "restored 3 files" in capsys.readouterr().out
    assert main(["pack", str(tmp_path / "nothing")]) == 2
    assert "no cells" in capsys.readouterr().err


def test_unpacking_a_folder_without_an_archive_is_an_error(tmp_path, capsys):
    assert main(["unpack", str(tmp_path / "nowhere")]) == 2
    assert "nowhere/records.jsonl.gz" in "".join(capsys.readouterr().err.split("\n"))
