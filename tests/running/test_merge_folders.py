"""Two labs' runs become one folder, and where they disagree both values are named."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import load_records
from benchmarks.merge import main as merge
from benchmarks.running.archive import pack
from benchmarks.running.record_file import write_rows

pytestmark = pytest.mark.usefixtures("unrendered")


def write(folder: Path, accuracies: dict[int, float], **columns) -> Path:
    """Two methods' cells by seed; the key is that of method and seed."""
    for label in ("fedavg", "mosaic"):
        for seed, accuracy in accuracies.items():
            key = f"{label:0<15}{seed}"
            row = {"suite": "mine", "cell": key, "label": label, "method": label}
            row |= {"status": "done", "dataset": "digits", "omega": 0.1, "n_clients": 3}
            row |= {"widths": "full", "scale": "quick", "seed": seed, "round": 1}
            row |= {"selection": "last", "accuracy": accuracy, "method_s": 1.0, "torch": "2.9"}
            write_rows(folder / "cells" / f"{key}.jsonl", [row | columns])
    return folder


def fail(folder: Path, key: str) -> None:
    """Make a cell one that failed."""
    row = {"suite": "mine", "cell": key, "label": "fedavg", "method": "fedavg", "scale": "quick"}
    (folder / "cells" / f"{key}.jsonl").unlink(missing_ok=True)
    write_rows(folder / "cells" / f"{key}.failed.json", [row | {"status": "failed", "seed": 0}])


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(tmp_path: Path, *more: str) -> int:
    places = [str(tmp_path / name) for name in ("a", "b")]
    return merge([*places, "--out", str(tmp_path / "c"), *more])


def test_the_union_has_every_cell_once_and_its_tables(tmp_path, capsys):
    """What may differ between two machines does: seconds, versions, memory."""
    write(tmp_path / "a", {0: 0.5, 1: 0.75})
    write(tmp_path / "b", {1: 0.75, 2: 0.25}, method_s=9.0, torch="3.0", peak_memory_bytes=5)
    pack(tmp_path / "b", remove=True)
    before = files(tmp_path / "a") | files(tmp_path / "b")
    assert command(tmp_path) == 0
    assert files(tmp_path / "a") | files(tmp_path / "b") == before
    assert "2 of A, 2 of B, 2 of both" in capsys.readouterr().out

    records = load_records(tmp_path / "c")
    assert len(records) == 6
    assert records.groupby("label")["accuracy"].mean().to_dict() == {"fedavg": 0.5, "mosaic": 0.5}
    assert (records.loc[records["seed"] == 1, "torch"] == "2.9").all()  # the first folder's
    summary = pd.read_csv(tmp_path / "c" / "summary.csv")
    assert len(summary) == 2
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert {"table.md", "table.tex", "report.html", "records.parquet", "figures"} < names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_conflict_names_both_values_and_environments_and_nothing_is_written(tmp_path, capsys):
    write(tmp_path / "a", {0: 0.5})
    write(tmp_path / "b", {0: 0.25}, torch="3.0")
    assert command(tmp_path) == 2
    error = capsys.readouterr().err
    assert "2 cells have other numbers" in error and "--prefer A or --prefer B" in error
    line = "mosaic digits omega=0.1 N=3 full seed=0: accuracy 0.5 in A, 0.25 in B"
    assert f"{line} (torch 2.9 in A, 3.0 in B)" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("side, accuracy", [("A", 0.5), ("B", 0.25)])
def test_the_preferred_record_is_taken_whole(tmp_path, side, accuracy, capsys):
    write(tmp_path / "a", {0: 0.5}, upload_bytes=1)
    write(tmp_path / "b", {0: 0.25}, upload_bytes=2)
    assert command(tmp_path, "--prefer", side) == 0
    records = load_records(tmp_path / "c")
    assert set(records["accuracy"]) == {accuracy}
    assert set(records["upload_bytes"]) == {1 if side == "A" else 2}
    assert f"{side}'s record is taken of mosaic" in capsys.readouterr().out


@pytest.mark.slow
def test_a_finished_cell_comes_before_a_failed_one_whoever_has_it(tmp_path):
    fail(write(tmp_path / "a", {0: 0.5, 1: 0.5}), f"{'fedavg':0<15}0")
    fail(write(tmp_path / "b", {0: 0.5, 1: 0.5}), f"{'fedavg':0<15}1")
    assert command(tmp_path) == 0
    assert set(load_records(tmp_path / "c")["status"]) == {"done"}


def test_a_damaged_record_is_left_out_and_named_where_it_is(tmp_path, capsys):
    for name in ("a", "b"):
        write(tmp_path / name, {0: 0.5}, suite=name)  # so that it ends before the report
    damaged = tmp_path / "a" / "cells" / f"{'mosaic':0<15}0.jsonl"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    before = files(tmp_path / "a")
    assert command(tmp_path) == 2
    said = capsys.readouterr().out.replace("\n", "")
    assert f"damaged: {damaged}: " in said and "merge" not in said.replace(str(tmp_path), "")
    assert files(tmp_path / "a") == before


@pytest.mark.parametrize("column, value", [("suite", "other"), ("scale", "laptop")])
def test_other_suites_and_scales_are_not_merged(tmp_path, column, value, capsys):
    write(tmp_path / "a", {0: 0.5})
    write(tmp_path / "b", {0: 0.5}, **{column: value})
    assert command(tmp_path) == 2
    assert f"different values of {column}" in capsys.readouterr().err


def test_two_files_of_one_name_are_two_suites(tmp_path, capsys):
    for name in ("a", "b"):
        write(tmp_path / name, {0: 0.5})
        owner = f'{{"path": "/{name}/mine.toml", "sha256": "{name}"}}'
        (tmp_path / name / "suite.json").write_text(owner)
    assert command(tmp_path) == 2
    assert "two suites' files of one name" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_that_has_something_is_not_written_to(tmp_path, capsys):
    write(tmp_path / "a", {0: 0.5})
    write(tmp_path / "b", {1: 0.5})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").touch()
    assert command(tmp_path) == 2
    assert "is there already" in capsys.readouterr().err
    (tmp_path / "c" / "mine.txt").unlink()
    assert command(tmp_path) == 0


@pytest.mark.parametrize(
    "given, problem", [(["--prefer", "C"], "possible: A, B"), ([], "no folder")]
)
def test_wrong_options_are_errors(tmp_path, given, problem, capsys):
    write(tmp_path / "a", {0: 0.5})
    assert command(tmp_path, *given) == 2
    assert problem in capsys.readouterr().err
