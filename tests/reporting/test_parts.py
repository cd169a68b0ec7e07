"""A part of a report that cannot be made is named, and does not stop the others."""

import dataclasses
import math

import pandas as pd
import pytest
from odd_labels import labelled

from benchmarks import run as benchmark
from benchmarks.reporting import report, tables
from benchmarks.reporting.figures import suite_figures
from benchmarks.reporting.frames import with_infinities
from benchmarks.reporting.names import number
from benchmarks.reporting.parts import TRACEBACKS, failure_lines
from benchmarks.reporting.tables import write_tables
from benchmarks.running.record import identity
from benchmarks.running.records import done_file, write_rows


def broken(*_, **__):
    raise KeyError("no such | column")


@pytest.fixture
def cells(tiny_cell, tmp_path):
    """Two cells, of which the first has a record."""
    done, missing = tiny_cell("fedavg", label="a|b"), tiny_cell("fedprox", label="Ba$$in")
    columns = ("accuracy", "upload_bytes", "download_bytes", "method_s", "stage_s")
    row = identity(done) | {"round": 2, "selection": "last", "partition": "x"}
    write_rows(done_file(tmp_path, done), [row | dict.fromkeys(columns, 0.5)])
    return [done, missing]


def test_the_other_parts_are_made_and_the_broken_ones_named(
    cells, tmp_path, monkeypatch, unrendered
):
    monkeypatch.setattr(tables, "budget_page", broken)
    monkeypatch.setattr(suite_figures, "bytes_by_kind", broken)
    monkeypatch.setattr(report, "_write_label_distribution", lambda *_: None)
    _, failures = report.report(tmp_path, cells)
    [line] = failure_lines(failures)
    assert line == (
        "the budgets of digits, 3 clients, full width in table.md and table.tex, "
        "figures/bytes_by_kind: KeyError: 'no such | column'"
    )
    text = (tmp_path / "table.md").read_text()
    assert "### Accuracy on digits" in text and "### Which round is reported" in text
    assert "### Missing in this report" in text and "the budgets of digits" in text
    assert {"table.tex", "summary.csv", "records.csv"} < {path.name for path in tmp_path.iterdir()}
    assert "Traceback" in (tmp_path / TRACEBACKS).read_text()

    monkeypatch.undo()
    monkeypatch.setattr(report, "_write_label_distribution", lambda *_: None)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    assert report.report(tmp_path, cells)[1] == []
    assert not (tmp_path / TRACEBACKS).exists()


@pytest.mark.parametrize(
    "module, name, named",
    [
        (report, "write_heatmaps", ["the heat maps"]),
        (tables, "groups", ["pages of table.md and table.tex", "report.html: Every number"]),
    ],
)
def test_an_error_between_the_parts_stops_no_other_part(
    cells, tmp_path, monkeypatch, unrendered, module, name, named
):
    monkeypatch.setattr(module, name, broken)
    monkeypatch.setattr(report, "_write_label_distribution", lambda *_: None)
    _, failures = report.report(tmp_path, cells)
    assert [failure.part for failure in failures] == named
    assert {"table.md", "table.tex", "summary.csv"} < {path.name for path in tmp_path.iterdir()}


def test_infinities_beside_a_list_stay_as_they_are():
    frame = pd.DataFrame({"a": ["inf", [1]], "b": ["inf", True], "c": ["inf", None]})
    assert with_infinities(frame)["a"].tolist() == ["inf", [1]]
    assert with_infinities(frame)["b"].tolist() == ["inf", True]
    assert with_infinities(frame)["c"].tolist()[0] == math.inf


def test_a_number_that_somebody_chose_has_all_of_its_digits():
    assert [number(0.1), number(1e-4), number(3.0), number(math.inf)] == [
        "0.1",
        "0.0001",
        "3",
        "inf",
    ]
    assert number(123456789012.5) == "123456789012.5"
    assert number(0.1 + 0.2) != number(0.3)


def test_a_cell_without_a_record_is_named(cells, tmp_path, monkeypatch, unrendered):
    monkeypatch.setattr(report, "_write_label_distribution", lambda *_: None)
    records, failures = report.report(tmp_path, cells)
    assert failures == []
    assert records["status"].tolist() == ["done", "missing"]
    text = (tmp_path / "table.md").read_text()
    assert "| Ba\\$\\$in | yes | missing (1 of 1) |" in text
    assert "- Missing: Ba\\$\\$in at ω 1, seed 0: it has no record" in text


def test_without_a_list_of_failures_the_error_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "budget_page", broken)
    with pytest.raises(KeyError):
        write_tables(labelled(["a"]), tmp_path)
    monkeypatch.setattr(suite_figures, "bytes_by_kind", broken)
    with pytest.raises(KeyError):
        suite_figures.write_figures(labelled(["a"]).head(1).assign(round=2), tmp_path)


def test_the_commands_exit_code_says_that_a_part_is_missing(
    tmp_path, monkeypatch, capsys, unrendered
):
    monkeypatch.setattr(tables, "cost_page", broken)
    options = ["--methods=fedavg", "--omega=0.1", "--seeds=1", "--jobs=1", "--clients=3"]
    options += ["--widths=full", "--datasets=digits", "--precision=fp32", f"--out={tmp_path}"]
    small = ["--set=task.rounds=1", "--set=task.steps=1", "--set=task.base_width=4"]
    assert benchmark.main([*options, *small]) == 1
    assert "missing in the report the costs of digits" in capsys.readouterr().out


def test_figures_and_pages_name_the_label_that_they_are_of(tiny_cell):
    cell = dataclasses.replace(tiny_cell("fedavg", label="a\nb"), grid="g", grid_settings=("x",))
    row = identity(cell)
    assert (row["grid"], row["grid_settings"], row["label"]) == ("g", "x", "a\nb")
    assert "\n" not in cell.title
