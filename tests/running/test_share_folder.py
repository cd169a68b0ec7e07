"""A suite's folder as one archive: everything is in it, and the manifest fits."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from benchmarks import load_records
from benchmarks.running.archive import pack
from benchmarks.running.record_file import write_rows
from benchmarks.share import main as share

pytest.importorskip("rocrate")
KEYS = ["0" * 16, "1" * 16]


def make_suite(folder: Path) -> Path:
    """Two cells of one round, a partition, a table and a failed cell."""
    for seed, key in enumerate(KEYS):
        row = {"suite": "mine", "cell": key, "label": "fedavg", "method": "fedavg"}
        row |= {"status": "done", "dataset": "digits", "omega": 0.1, "n_clients": 3, "seed": seed}
        row |= {
            "widths": "full",
            "scale": "quick",
            "round": 1,
            "selection": "last",
            "accuracy": 0.5,
        }
        row |= {"version": "0.1.0", "commit": "abc", "torch": "2.9"}
        write_rows(folder / "cells" / f"{key}.jsonl", [row])
    write_rows(
        folder / "cells" / f"{'f' * 16}.failed.json",
        [row | {"cell": "f" * 16, "status": "failed", "selection": ""}],
    )
    (folder / "cells" / f"{KEYS[0]}.lock").touch()
    (folder / "partitions").mkdir()
    (folder / "partitions" / "p.json").write_text("{}")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_bytes(b"png")
    (folder / "table.md").write_text("| a |")
    (folder / "report.html").write_text("<p>a page</p>")
    return folder


@pytest.fixture
def suite(tmp_path) -> Path:
    return make_suite(tmp_path / "mine")


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_archive_has_the_folder_with_its_cells_packed(suite, tmp_path):
    before = files(suite)
    assert share([str(suite)]) == 0
    assert files(suite) == before
    shared = content(tmp_path / "mine.zip")
    assert set(shared) == {
        "records.jsonl.gz",
        "records.parquet",
        "report.html",
        "table.md",
        "figures/a.png",
        f"cells/{'f' * 16}.failed.json",
        "ro-crate-metadata.json",
    }
    assert shared["records.jsonl.gz"] == pack(suite).read_bytes()
    assert shared["report.html"] == b"<p>a page</p>"


def test_the_manifest_has_the_checksum_of_every_file(suite, tmp_path):
    assert share([str(suite), "--out", str(tmp_path / "x.zip"), "--license", "CC-BY-4.0"]) == 0
    shared = content(tmp_path / "x.zip")
    graph = json.loads(shared.pop("ro-crate-metadata.json"))["@graph"]
    by_id = {entity["@id"]: entity for entity in graph}
    for name, data in shared.items():
        assert by_id[name]["sha256"] == hashlib.sha256(data).hexdigest(), name
        assert by_id[name]["contentSize"] == str(len(data)) and by_id[name]["description"]
    root = by_id["./"]
    assert {part["@id"] for part in root["hasPart"]} == set(shared)
    assert root["license"] == "CC-BY-4.0" and root["datePublished"]
    assert by_id["#mosaic-bench"]["softwareVersion"] == ["0.1.0"]


def test_it_is_an_ro_crate_and_a_suites_folder_elsewhere(suite, tmp_path):
    from rocrate.rocrate import ROCrate

    assert share([str(suite)]) == 0
    crate = ROCrate(str(tmp_path / "mine.zip"))
    assert "records of 3 cells" in crate.description.casefold()
    place = tmp_path / "elsewhere" / "mine"
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        archive.extractall(place)
    assert set(load_records(place)["cell"]) == {*KEYS, "f" * 16}


def test_an_archived_suite_without_a_page_gets_one(tmp_path):
    suite = make_suite(tmp_path / "mine")
    pack(suite, remove=True)
    (suite / "report.html").unlink()
    before = files(suite)
    assert share([str(suite)]) == 0
    shared = content(tmp_path / "mine.zip")
    assert b"<title>Mosaic-Bench: mine" in shared["report.html"]
    assert files(suite) == before


@pytest.mark.parametrize("name", [f"cells/{KEYS[0]}.jsonl", f"cells/{'f' * 16}.failed.json"])
def test_a_damaged_record_is_an_error_and_stays_where_it_is(suite, tmp_path, name, capsys):
    (suite / name).write_bytes((suite / name).read_bytes()[:-9])
    before = files(suite)
    assert share([str(suite)]) == 2
    assert f"{suite}/{name}: " in capsys.readouterr().err.replace("\n", "")
    assert files(suite) == before and [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_damaged_archive_or_partition_is_an_error(suite, tmp_path, capsys):
    (suite / "partitions" / "p.json").write_text("{")
    assert share([str(suite)]) == 2
    assert f"{suite}/partitions/p.json: " in capsys.readouterr().err.replace("\n", "")
    (suite / "partitions" / "p.json").write_text("{}")
    archive = pack(suite, remove=True)
    archive.write_bytes(archive.read_bytes()[:-20])
    assert share([str(suite)]) == 2
    assert f"{suite}/{archive.name}: " in capsys.readouterr().err.replace("\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("out", ["x.tar", "nowhere/x.zip"])
def test_a_place_that_cannot_be_is_an_error(suite, tmp_path, out, capsys):
    assert share([str(suite), "--out", str(tmp_path / out)]) == 2
    assert "give --out FILE.zip" in capsys.readouterr().err


def test_a_folder_without_records_leaves_no_archive(tmp_path):
    (tmp_path / "empty").mkdir()
    assert share([str(tmp_path / "empty")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
