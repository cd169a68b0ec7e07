"""A shared archive is unpacked and compared with its manifest."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import recorded

from benchmarks.verify import main
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.errors import InputError

FILES = {"table.md": b"| fedavg | 60.1 |", "figures/a.png": b"png"}


def write_zip(path: Path, files: dict[str, bytes], **changed: bytes) -> Path:
    """An archive whose manifest is of ``files``; ``changed`` takes the place of some of them."""
    graph = [{"@id": "./", "@type": "Dataset"}]
    for name, data in files.items():
        graph.append({"@id": name, "@type": "File", "sha256": hashlib.sha256(data).hexdigest()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (files | changed).items():
            archive.writestr(name, data)
        archive.writestr("ro-crate-metadata.json", json.dumps({"@graph": graph}))
    return path


def unpacked(path: Path, into: Path) -> Verdict:
    from benchmarks.verifying.shared_archive import unpack_shared

    verdict = Verdict()
    unpack_shared(path, into, verdict)
    return verdict


def test_files_that_are_as_the_manifest_says_agree(tmp_path):
    verdict = unpacked(write_zip(tmp_path / "a.zip", FILES), tmp_path / "out")
    assert (verdict.code, len(verdict.agreements)) == (0, 1)
    assert (tmp_path / "out" / "table.md").read_bytes() == FILES["table.md"]


def test_files_that_are_not_as_the_manifest_says_are_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES, **{"table.md": b"| fedavg | 99.1 |", "b": b""})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside", b"")
    texts = "\n".join(unpacked(path, tmp_path / "out").differences)
    assert "table.md is not the file" in texts and "b is not in the manifest" in texts
    assert "../outside" in texts and not (tmp_path / "outside").exists()

    path = write_zip(tmp_path / "b.zip", FILES)
    data = path.read_bytes().replace(b"60.1", b"99.1")  # by somebody who knows no checksum
    path.write_bytes(data)
    assert "table.md" in unpacked(path, tmp_path / "out2").differences[0]


def test_a_file_that_the_archive_lacks_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    lacking = tmp_path / "b.zip"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(lacking, "w") as other:
        for name in ("table.md", "ro-crate-metadata.json"):
            other.writestr(name, archive.read(name))
    assert "figures/a.png is missing" in unpacked(lacking, tmp_path / "out").differences[0]


def test_what_is_no_shared_archive_is_an_error(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="is no archive of benchmarks.share"):
        unpacked(tmp_path / "a.zip", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("table.md", b"")
    with pytest.raises(InputError, match="has no ro-crate-metadata.json"):
        unpacked(tmp_path / "b.zip", tmp_path / "out")


@pytest.mark.slow
def test_what_was_shared_is_verified_and_a_changed_byte_is_found(small, tmp_path, capsys):
    pytest.importorskip("rocrate")
    from benchmarks.running.share_folder import share

    folder = recorded.copied(small, tmp_path)
    path = tmp_path / "tiny.zip"
    share(folder, path, "CC-BY-4.0")
    assert main([str(path), "--cells", "1", "--jobs", "1"]) == 0
    assert "the manifest" in capsys.readouterr().out

    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["report.html"] = files["report.html"].replace(b"fedavg", b"fedavh", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert main([str(path), "--cells", "0"]) == 1
    assert "report.html is not the file" in capsys.readouterr().out
