"""Records as Parquet, CSV and lines of JSON: one schema, and the same numbers in each."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from benchmarks import load_records
from benchmarks.metrics.columns import METRICS
from benchmarks.running.record_tables import CSV, PARQUET, parquet_of
from mosaic.fl.errors import InputError

ROOT = Path(__file__).parents[2]
QUICK = ROOT / "results" / "quick" / "lambda_sweep"
COLUMNS = {"status": "done", "dataset": "digits", "n_clients": 3, "widths": "full", "seed": 0}


def cell(key: str = "0123456789abcdef", **columns) -> dict:
    row = {"cell": key, "label": "fedavg", "method": "fedavg", "omega": 0.1, "round": 2}
    return COLUMNS | row | {"selection": "last", "accuracy": 0.5} | columns


def write(folder: Path, rows: list[dict]) -> pd.DataFrame:
    """Write the files that a report writes."""
    records = pd.DataFrame(rows)
    (folder / PARQUET).write_bytes(parquet_of(records))
    records.to_csv(folder / CSV, index=False)
    return records


def values(records: pd.DataFrame) -> pd.DataFrame:
    """The columns that have values; CSV does not tell an empty text from a missing value."""
    records = records.astype(object).mask(lambda frame: frame == "").dropna(axis=1, how="all")
    return records.where(records.notna(), None)


@pytest.fixture(scope="module")
def quick() -> pd.DataFrame:
    return load_records(QUICK)


def test_every_form_has_the_same_records(quick, tmp_path):
    (tmp_path / PARQUET).write_bytes(parquet_of(quick))
    quick.to_csv(tmp_path / CSV, index=False)
    with gzip.open(QUICK / "records.jsonl.gz") as archive:
        (tmp_path / "all.jsonl").write_bytes(archive.read())
    assert len(quick)
    for path in (tmp_path / PARQUET, tmp_path / CSV, tmp_path / "all.jsonl", tmp_path):
        assert_frame_equal(values(load_records(path)), values(quick), check_dtype=False)
    packed = load_records(QUICK / "records.jsonl.gz")
    assert_frame_equal(packed, quick)


def test_all_suites_have_one_schema(quick, tmp_path):
    write(tmp_path, [cell()])
    small = pq.read_schema(tmp_path / PARQUET)
    (tmp_path / "quick.parquet").write_bytes(parquet_of(quick))
    large = pq.read_schema(tmp_path / "quick.parquet")
    assert set(small.names) < set(large.names)
    for name in small.names:
        assert small.field(name).equals(large.field(name), check_metadata=True), name


def test_columns_have_their_description_and_unit(tmp_path):
    write(tmp_path, [cell(upload_bytes_model=8)])
    schema = pq.read_schema(tmp_path / PARQUET)
    about = schema.field("method_s").metadata
    assert about == {b"description": METRICS["method_s"].meaning.encode(), b"unit": b"s"}
    assert schema.field("upload_bytes_model").metadata[b"unit"] == b"byte"
    for name in schema.names:
        assert schema.field(name).metadata[b"description"], name


def test_types_are_those_of_the_columns_whatever_a_file_has(tmp_path):
    rows = [
        cell(**{"label": "1", "config.lr": 1, "config.batch": 8.0, "task.steps": None}),
        cell("f" * 16, **{"omega": "inf", "round": None, "data_free": True, "config.x": [1, 2]}),
    ]
    write(tmp_path, rows)
    table = pq.read_table(tmp_path / PARQUET)
    types = {
        name: str(table.schema.field(name).type)
        for name in ("label", "config.lr", "config.batch", "round", "omega", "data_free")
    }
    assert list(types.values()) == ["string", "double", "int64", "int64", "double", "bool"]
    assert table["omega"].to_pylist() == [0.1, np.inf]
    assert table["config.x"].to_pylist() == [None, "[1, 2]"]


def test_a_value_that_does_not_fit_its_column_is_kept(tmp_path):
    write(tmp_path, [cell(**{"config.lr": "auto", "upload_bytes": 1.5})])
    table = pq.read_table(tmp_path / PARQUET)
    assert table["config.lr"].to_pylist() == ["auto"]
    assert table["upload_bytes"].to_pylist() == [1.5]


def test_a_key_of_digits_is_no_number(tmp_path):
    write(tmp_path, [cell("12e4567890123456", data="0000000000000012", commit="123456789012")])
    for name in (CSV, PARQUET):
        [row] = load_records(tmp_path / name).to_dict("records")
        names = (row["cell"], row["data"], row["commit"])
        assert names == ("12e4567890123456", "0000000000000012", "123456789012"), name


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("a.txt", b"", "no file of records"),
        ("a.parquet", b"no", "cannot read the records"),
        ("a.jsonl.gz", b"no", "cannot read the records"),
        ("a.jsonl", json.dumps(cell(selection="")).encode(), "not that of the cell's last round"),
    ],
)
def test_a_file_that_is_none_of_records_is_an_error(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
        load_records(tmp_path / name)


def test_the_one_liners_of_the_docs_run(tmp_path, monkeypatch, capsys):
    """pandas, polars and DuckDB give the same means."""
    page = (ROOT / "docs" / "records.md").read_text()
    part = page.split("## Parquet")[1].split("\n## ")[0]
    snippets = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    assert len(snippets) == 3
    folder = tmp_path / "results" / "heterogeneity"
    folder.mkdir(parents=True)
    rows = [cell(str(i) * 16, seed=i, accuracy=0.25 * i) for i in (1, 2)]
    write(folder, [*rows, cell("3" * 16, selection="", accuracy=0.0)])
    monkeypatch.chdir(tmp_path)
    for snippet in snippets:
        for library in ("polars", "duckdb"):
            if f"import {library}" in snippet:
                pytest.importorskip(library)
        exec(compile(snippet, "docs/records.md", "exec"), {})
        assert "0.375" in capsys.readouterr().out, snippet
