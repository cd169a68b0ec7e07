"""What is found in a page and in records.parquet without running anything, on one made record."""

from pathlib import Path

import pytest

from benchmarks.reporting.frames import with_infinities
from benchmarks.reporting.page.sources import read_folders
from benchmarks.reporting.page.write import page_of
from benchmarks.running.folder_content import read_content
from benchmarks.running.record import version
from benchmarks.running.record_file import write_rows
from benchmarks.running.record_tables import parquet_of
from benchmarks.running.records import load_records
from benchmarks.verifying.pages import Report, check_pages
from benchmarks.verifying.planned import question_of
from benchmarks.verifying.verdict import Verdict

KEY = "0" * 16


def make_record(folder: Path, **columns) -> Path:
    row = {"suite": "mine", "cell": KEY, "label": "fedavg", "method": "fedavg", "scale": "quick"}
    row |= {"status": "done", "dataset": "digits", "omega": 0.1, "n_clients": 3, "seed": 0}
    row |= {"widths": "full", "round": 1, "selection": "last", "accuracy": 0.5}
    write_rows(folder / "cells" / f"{KEY}.jsonl", [row | {"version": version()} | columns])
    return folder


def found(folder: Path, scratch: Path, again: dict[str, str | bytes]) -> Verdict:
    """Compare a folder's files with those that were written again."""
    content = read_content(folder)
    copy = scratch / "mine"
    copy.mkdir(parents=True)
    for name, data in again.items():
        (copy / name).write_bytes(data.encode() if isinstance(data, str) else data)
    verdict = Verdict()
    records = with_infinities(load_records(folder))
    report = Report(copy, records, None, question_of(content, None))
    check_pages(content, report, False, verdict)
    return verdict


ADDED = {
    "script": ("<footer>", "<script>shown = '99.9'</script><footer>"),
    "style": ("</head>", "<style>td::after { content: '99.9' }</style></head>"),
    "rule": ("</style>", "td::after { content: '99.9' }</style>"),
    "meta": ("</head>", '<meta http-equiv="refresh" content="0; url=#other"></head>'),
}


@pytest.mark.parametrize("what", ADDED)
def test_what_was_added_to_a_page_to_show_another_number_is_found(tmp_path, what):
    folder = make_record(tmp_path / "mine")
    page = page_of(read_folders([folder]), "mosaic", [])
    (folder / "report.html").write_text(page.replace(*ADDED[what], 1))
    verdict = found(folder, tmp_path / "scratch", {"report.html": page})
    assert verdict.code == 1 and "report.html" in verdict.differences[0]


def test_scripts_of_another_version_cannot_be_compared(tmp_path):
    folder = make_record(tmp_path / "mine", version="0.0.1")
    page = page_of(read_folders([folder]), "mosaic", [])
    (folder / "report.html").write_text(page)
    verdict = found(folder, tmp_path / "same", {"report.html": page})
    assert verdict.code == 0
    (folder / "report.html").write_text(page.replace(*ADDED["script"], 1))
    verdict = found(folder, tmp_path / "other", {"report.html": page})
    assert verdict.code == 2 and "scripts" in verdict.unchecked[0]


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_the_bytes_of_images_are_not_compared(tmp_path, kind):
    folder = make_record(tmp_path / "mine")
    page = '<img src="data:image/{};base64,{}">'
    (folder / "report.html").write_text(page.format(kind, "AAAA"))
    assert found(folder, tmp_path / "scratch", {"report.html": page.format(kind, "BBBB")}).code == 0


def test_a_number_that_was_typed_into_the_parquet_file_is_found(tmp_path):
    folder = make_record(tmp_path / "mine")
    records = load_records(folder)
    (folder / "records.parquet").write_bytes(parquet_of(records))
    again: dict[str, str | bytes] = {"records.parquet": parquet_of(records)}
    verdict = found(folder, tmp_path / "sound", again)
    assert verdict.code == 0 and "records.parquet" in verdict.agreements[0]

    (folder / "records.parquet").write_bytes(parquet_of(records.assign(accuracy=0.75)))
    verdict = found(folder, tmp_path / "typed", again)
    [difference] = verdict.differences
    assert "records.parquet line 1 (accuracy): '0.75', and the records give '0.5'" in difference

    (folder / "records.parquet").write_bytes(b"PAR1")
    assert "cannot be read" in found(folder, tmp_path / "cut", again).differences[0]
