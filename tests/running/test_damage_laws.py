"""Whatever happens to a suite's files: it is named, the rest is kept, and a run makes it again."""

import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from damage import damaged, few
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.running.archive import ARCHIVE, pack, packed_rows
from benchmarks.running.certificates import read_label_counts, restore_certificates
from benchmarks.running.pictures import read_pictures
from benchmarks.running.records import done_file, load_records, read_rows
from benchmarks.running.run_cell import is_finished, run_cell
from benchmarks.running.session import Session, prepare
from mosaic.fl.cache import use_cache

MEASURED = ("method_s", "stage_s", "cpu_s", "pass_s", "peak_memory_bytes")


@dataclass
class Finished:
    """A suite that has been run: its folder as it was, and a folder to damage."""

    whole: Path
    session: Session
    cells: list

    @property
    def folder(self) -> Path:
        return self.session.folder("tiny")

    def fresh(self) -> Path:
        """The folder, as it was after the run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.whole, self.folder)
        return self.folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three small cells on digits, of several rows each; one file of pictures."""
    from benchmarks.planning.cell import Cell
    from benchmarks.planning.settings import configure
    from mosaic.fl.task import Task

    task = Task(n_train=120, omega=1.0, n_clients=2, rounds=2, score_every=1, steps=1, base_width=4)
    config = configure("fedavg", {})
    facts = {"suite": "tiny", "scale": "quick", "label": "fedavg", "method": "fedavg"}
    session = Session(tmp_path_factory.mktemp("out"))
    cells = [
        Cell(**facts, fidelity_n=90, config=config, widths="full", task=replace(task, seed=seed))
        for seed in (0, 1, 2)
    ]
    prepare(session)
    for cell in cells:
        run_cell(cell, session)
    use_cache(None)
    pictures = session.folder("tiny") / "pictures"
    pictures.mkdir()
    images = np.arange(128, dtype=np.uint8).reshape(1, 2, 1, 8, 8)
    np.savez_compressed(pictures / "of.npz", clients=[0], generated=images, real=images)
    whole = tmp_path_factory.mktemp("whole") / "tiny"
    shutil.copytree(session.folder("tiny"), whole)
    return Finished(whole, session, cells)


def content(rows):
    """Rows without what is measured anew in each run."""
    return [{k: v for k, v in row.items() if not k.startswith(MEASURED)} for row in rows]


def quietly(function, *args):
    """A function's result and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args)
    return result, [str(warning.message) for warning in caught]


def check_record(finished, data, damage_of) -> None:
    folder = finished.fresh()
    first, *others = finished.cells
    path = done_file(folder, first)
    before = path.read_bytes()
    rows = read_rows(path)
    kept = [read_rows(done_file(folder, cell)) for cell in others]
    path.write_bytes(data.draw(damage_of(before)))
    changed = path.read_bytes()

    read, named = quietly(read_rows, path)
    if read is None:
        assert len(named) == 1 and str(path) in named[0] and "\n" not in named[0]
        assert path.with_name(f"{path.name}.damaged").read_bytes() == changed
    else:
        assert read == rows and named == []
    assert [read_rows(done_file(folder, cell)) for cell in others] == kept
    frame = load_records(folder)
    assert set(frame["cell"]) >= {cell.key for cell in others}

    if read is None:
        run_cell(first, finished.session)
        assert content(read_rows(path)) == content(rows)


@few(12)
@given(data=st.data())
def test_a_record(finished, data):
    check_record(finished, data, damaged)


@pytest.mark.slow
@few(200)
@given(data=st.data())
def test_a_record_at_length(finished, data):
    check_record(finished, data, damaged)


def check_archive(finished, data) -> None:
    folder = finished.fresh()
    pack(folder, remove=True)
    archive = folder / ARCHIVE
    whole = packed_rows(folder)
    archive.write_bytes(data.draw(damaged(archive.read_bytes(), by_line=False)))

    read, named = quietly(packed_rows, folder)
    assert all(read[key] == whole[key] for key in read)  # never another number
    if read != whole:
        assert len(named) == 1 and str(archive) in named[0] and "\n" not in named[0]
    for cell in finished.cells:
        done, _ = quietly(is_finished, folder, cell)
        assert done == (cell.key in read)


@few(40)
@given(data=st.data())
def test_an_archive(finished, data):
    check_archive(finished, data)


@pytest.mark.slow
@few(2000)
@given(data=st.data())
def test_an_archive_at_length(finished, data):
    check_archive(finished, data)


def check_certificate(finished, data) -> None:
    folder = finished.fresh()
    path, *others = sorted((folder / "partitions").iterdir())
    before = path.read_bytes()
    kept = [read_label_counts(folder, other.stem) for other in others]
    path.write_bytes(data.draw(damaged(before)))

    counts, named = quietly(read_label_counts, folder, path.stem)
    if counts is None:
        assert len(named) == 1 and str(path) in named[0]
        restore_certificates(folder, finished.cells)
        assert path.read_bytes() == before
    assert all(
        (read_label_counts(folder, other.stem) == k).all()
        for other, k in zip(others, kept, strict=True)
    )


@few(40)
@given(data=st.data())
def test_a_certificate(finished, data):
    check_certificate(finished, data)


@pytest.mark.slow
@few(1000)
@given(data=st.data())
def test_a_certificate_at_length(finished, data):
    check_certificate(finished, data)


def check_pictures(finished, data) -> None:
    folder = finished.fresh()
    path = folder / "pictures" / "of.npz"
    whole = read_pictures(path)
    path.write_bytes(data.draw(damaged(path.read_bytes(), by_line=False)))
    read, named = quietly(read_pictures, path)
    if read is None:
        assert len(named) == 1 and str(path) in named[0] and not path.exists()
    else:
        assert all((a == b).all() for a, b in zip(read, whole, strict=True))


@few(40)
@given(data=st.data())
def test_pictures(finished, data):
    check_pictures(finished, data)


@pytest.mark.slow
@few(2000)
@given(data=st.data())
def test_pictures_at_length(finished, data):
    check_pictures(finished, data)
