"""Other data under the same name: other cells, stages and trials; what was there is named."""

import re
import struct

import numpy as np
import pandas as pd
import pytest

from benchmarks import load_records, tune
from benchmarks.planning.data import fingerprints, splits_of, with_data
from benchmarks.run import main
from benchmarks.running.other_data import on_other_data
from benchmarks.running.processes import run_cells
from benchmarks.running.record import identity
from benchmarks.running.records import done_file, write_rows
from benchmarks.running.session import Session
from mosaic.fl.data import loading

pytestmark = pytest.mark.usefixtures("unrendered")

TASK = [
    "--omega=1",
    "--clients=2",
    "--widths=full",
    "--seeds=1",
    "--jobs=1",
    "--device=cpu",
    "--precision=fp32",
    "--set=task.rounds=1",
    "--set=task.steps=1",
    "--set=task.base_width=4",
]
COMMAND = [*TASK, "--datasets=mnist", "--methods=fedavg"]
TRIALS = [
    *TASK,
    "--dataset=mnist",
    "--method=fedprox",
    "--trials=1",
    "--stability-seeds=0",
    "--study=s",
]


def write_mnist(folder, shift=0, test_shift=0):
    """120 training and 40 test images; their labels may be shifted."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, n, by in (("train", 120, shift), ("t10k", 40, test_shift)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = ((np.arange(n) + by) % 10).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{split}-{name}-ubyte").write_bytes(head + array.tobytes())
    return folder


@pytest.fixture(autouse=True)
def data_of_the_test(monkeypatch):
    monkeypatch.setenv("MOSAIC_DATA", "")
    loading._load.cache_clear()
    yield
    loading._load.cache_clear()


def run(capsys, out, data, *more) -> str:
    """Run the command; what it printed, in one line."""
    assert main([*COMMAND, "--out", str(out), "--data-dir", str(data), *more]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_cells_and_stages_of_other_labels_are_others_and_the_old_ones_are_named(tmp_path, capsys):
    """Both runs have one --out; only the labels differ, as in a shifted copy of the data."""
    wrong = write_mnist(tmp_path / "wrong", shift=1, test_shift=1)
    right = write_mnist(tmp_path / "right")
    out = tmp_path / "out"
    folder = out / "heterogeneity"

    printed = run(capsys, out, wrong)
    assert printed.startswith(f"data: mnist: {wrong} ") and "other data" not in printed
    first = pd.read_csv(folder / "records.csv")
    stages = set(out.glob("cache/*/*.json"))

    printed = run(capsys, out, right)
    again = pd.read_csv(folder / "records.csv")
    assert set(first["cell"]).isdisjoint(again["cell"])
    assert set(again["data_place"]) == {str(right)}
    assert len(set(out.glob("cache/*/*.json"))) == 2 * len(stages)
    difference = f"({first['data'][0]}, now {again['data'][0]})"
    assert f"1 cell in {folder} was measured on other data of mnist {difference}" in printed

    # Each run finds its own cells again, and a reader of the whole folder is warned.
    assert "1 cells, 1 done, 0 to run" in run(capsys, out, wrong, "--dry-run")
    assert "1 cells, 1 done, 0 to run" in run(capsys, out, right, "--dry-run")
    with pytest.warns(UserWarning, match="different data under the name mnist.*column data"):
        load_records(folder)


def test_the_same_data_in_another_folder_are_the_same_cells(tmp_path, capsys):
    run(capsys, tmp_path / "out", write_mnist(tmp_path / "a"))
    printed = run(capsys, tmp_path / "out", write_mnist(tmp_path / "b"), "--dry-run")
    assert "1 cells, 1 done, 0 to run" in printed and "other data" not in printed


def test_other_test_images_are_another_cell_of_the_same_stages(tmp_path, capsys):
    out = tmp_path / "out"
    run(capsys, out, write_mnist(tmp_path / "a"))
    stages = set(out.glob("cache/*/*.json"))
    printed = run(capsys, out, write_mnist(tmp_path / "b", test_shift=1))
    assert re.search(r"other data of mnist \(test images \w{16}, now \w{16}\)", printed)
    assert set(out.glob("cache/*/*.json")) == stages
    assert len(list((out / "heterogeneity" / "cells").glob("*.jsonl"))) == 2


def test_a_dry_run_without_the_data_shows_the_plan_and_downloads_nothing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("mosaic.fl.data.download._download", None)
    (tmp_path / "empty").mkdir()
    printed = run(capsys, tmp_path / "out", tmp_path / "empty", "--dry-run")
    assert printed.startswith("data: mnist: not on this machine ")
    assert "which of its cells are done is not known" in printed and "1 cells" in printed


def test_trials_of_other_data_are_another_study(tmp_path, capsys):
    command = [*TRIALS, "--out", str(tmp_path), "--data-dir"]
    assert tune.main([*command, str(write_mnist(tmp_path / "a"))]) == 0
    assert capsys.readouterr().out.startswith("data: mnist: ")
    assert tune.main([*command, str(write_mnist(tmp_path / "b", test_shift=1))]) == 0
    assert tune.main([*command, str(write_mnist(tmp_path / "c", shift=1))]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert re.search(r"its trials are of other data of mnist \(\w{16}, now \w{16}\)", message)
    assert "another name with --study" in message


def test_records_from_before_keys_had_data_are_named(tiny_cell, tmp_path):
    cell = tiny_cell("fedavg")
    [now] = with_data([cell], fingerprints(splits_of([cell]), download=False))
    write_rows(done_file(tmp_path, cell), [identity(cell) | {"data": now.task.data}])
    [text] = on_other_data(tmp_path, [now])
    assert f"digits that the key does not name (now {now.task.data})" in text
    write_rows(done_file(tmp_path, now), [identity(now)])
    assert len(on_other_data(tmp_path, [now])) == 1
    assert on_other_data(tmp_path, [tiny_cell("fedavg", dataset="mnist")]) == []


def test_a_cell_fails_where_the_data_are_others_than_its_key_says(tiny_cell, tmp_path):
    """As on a node of a cluster that has other data."""
    [cell] = with_data([tiny_cell("fedavg")], {("digits", "test"): "0123456789abcdef"})
    [outcome] = run_cells([cell], Session(tmp_path), 1, lambda *_: None)
    assert outcome.status == "failed"
    assert "other data: the test images of digits in scikit-learn" in outcome.notes[0]
