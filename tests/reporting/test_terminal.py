"""The result in the terminal: nothing is cut at any width, and warnings are told by kind."""

import re
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console, Group

from benchmarks.metrics.columns import METRICS
from benchmarks.metrics.metric import Metric
from benchmarks.metrics.metric_file import LOADED, MetricFile
from benchmarks.reporting import terminal
from benchmarks.reporting.summaries import warning_summary
from benchmarks.reporting.terminal import terminal_table


def printed(records: pd.DataFrame, width: int | None) -> list[str]:
    """The lines on a screen of this width, or in a pipe."""
    return shown(terminal_table(records, "table.md"), width)


def shown(table: Group, width: int | None) -> list[str]:
    """The lines of a table on a screen of this width, or in a pipe."""
    output = Console(width=width, file=StringIO(), highlight=False)
    output.print(table)
    return [line.rstrip() for line in output.file.getvalue().splitlines()]


def rows_of(lines: list[str]) -> list[list[str]]:
    """The cells of each line of the table, below its heading; two spaces separate them."""
    start = next(i for i, line in enumerate(lines) if line and set(line) == {"─"}) + 1
    rows = []
    for line in lines[start:]:
        if not line or line.startswith("left out"):
            break
        rows.append(re.split(r"\s{2,}", line))
    return rows


def with_long_labels(records: pd.DataFrame) -> pd.DataFrame:
    long = {"dense": "dense lambda_e=0.5 lambda_d=10.0 lambda_i=15.0", "mosaic": "m" * 30}
    return records.replace({"label": long})


def test_names_with_brackets_are_shown_as_they_are(make_records):
    records = make_records().replace({"label": {"dense": "dense[bold]"}})
    text = "\n".join(printed(records, 120))
    assert "dense[bold]" in text and "73.0 ± 1.2" in text and "digits, 4 clients" in text
    assert not terminal_table(records.iloc[:0]).renderables


@pytest.mark.parametrize("width", [17, 23, 31, 37, 40, 44, 52, 60, 71, 80, 87, 100, 120, 200])
def test_no_number_and_no_label_is_cut(make_records, width):
    records = with_long_labels(make_records())
    lines = printed(records, width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)

    # A number is complete if it is one of those of the full table, with or without its sd.
    complete = {cell for row in rows_of(printed(records, 200)) for cell in row[1:]}
    complete |= {re.sub(r" ± \d+\.\d", "", cell) for cell in complete}
    rows = rows_of(lines)
    for _, *cells in rows:
        assert set(cells) <= complete

    # A label is complete if its pieces follow one another.
    labels = "".join(label.replace(" ", "") for label, *_ in rows)
    assert all(label.replace(" ", "") in labels for label in records["label"].unique())


def test_columns_are_left_out_in_the_stated_order(make_records):
    table = terminal_table(make_records(), "table.md")
    seen = []
    for width in range(118, 14, -3):
        lines = shown(table, width)
        text = " ".join(lines)
        left_out = re.search(r"left out at this width: (.*?): see", text)
        names = left_out[1] if left_out else ""
        if names not in seen:
            seen.append(names)
    order = ["seconds", "MB", "data-free", "standard deviations", "ω 0.1", "ω 1"]
    assert seen == [", ".join(order[:n]) for n in range(len(order) + 1)]


def test_a_users_metric_is_left_out_before_deviations_and_after_all_else(make_records, monkeypatch):
    """The means over seeds and omega: -12.5 of every method, also a negative number."""
    metric = Metric("ece", "", "lower", "calibration", heading="ECE $[b]$")
    monkeypatch.setitem(METRICS, "ece", metric)
    monkeypatch.setitem(LOADED, "ece", MetricFile(metric, float, "ece"))
    records = make_records()
    records["ece"] = records["accuracy"].where(records["accuracy"].isna(), -12.5)
    wide = "\n".join(printed(records, 200))
    assert "ECE $[b]$" in wide and wide.count("-12.5") == 5  # FedRolex has no result
    assert "left out at this width: seconds, MB, data-free: see" in "\n".join(printed(records, 100))
    narrow = "\n".join(printed(records, 60))
    assert "seconds, MB, data-free, ECE $[b]$" in narrow and "-12.5" not in narrow


def test_a_pipe_has_80_columns_and_nothing_is_cut_in_it(make_records, monkeypatch):
    """With deviations the table needs 21 + 2 (2 + 29) = 83 columns; without them it fits."""
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = printed(make_records(), None)
    text = "\n".join(lines)
    assert max(len(line) for line in lines) <= 80
    assert "73.0" in text and "56.0 †; failed (1 of 3)" in text and "…" not in text


def test_a_kind_of_warning_is_one_line_with_its_number_of_cells(make_records):
    """Mosaic has three seeds at two omegas; its warnings differ in a number."""
    records = make_records()
    assert warning_summary(records) == ["6 cells: 20% near-duplicates"]
    one = records["cell"] == records.loc[records["label"] == "local", "cell"].iloc[0]
    records.loc[one, "warnings"] = "5% near-duplicates; loss 3 is high"
    assert warning_summary(records) == [
        "7 cells: 5% near-duplicates",
        "1 cell: loss 3 is high",
    ]
    assert warning_summary(records.assign(warnings="")) == []


def test_the_end_of_a_run_tells_kinds_of_trouble_and_where_the_files_are(
    make_records, tmp_path, monkeypatch
):
    output = Console(width=300, file=StringIO())
    monkeypatch.setattr(terminal, "console", output)
    terminal.print_result(make_records(), tmp_path, failed=2)
    text = output.file.getvalue()
    for part in (
        "73.0 ± 1.2",
        "6 cells: 20% near-duplicates",
        "2 cells: one width | nothing to roll",
        "2 cells: loss > 1e9 & 100 % wrong_",
        f"2 cells failed; their tracebacks are in {tmp_path / 'cells'}/*.failed.json",
        f"tables and figures: {tmp_path}",
    ):
        assert part in text
