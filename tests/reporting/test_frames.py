"""What comes back from a records.csv."""

import pandas as pd

from benchmarks.metrics.column_types import described_columns, kind_of
from benchmarks.reporting.frames import read_csv


def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path):
    """Widths "0.5", a data set "2024", client 1 that collapsed, a hash of digits."""
    names = [name for name in described_columns() if kind_of(name) == "text"]
    names += ["task.partition"]
    assert {"widths", "dataset", "collapsed_clients", "partition", "client_widths"} < set(names)
    for text in ("0.5", "012", "12e4567890123456"):
        pd.DataFrame([dict.fromkeys(names, text)]).to_csv(tmp_path / "records.csv", index=False)
        assert set(read_csv(tmp_path / "records.csv").iloc[0]) == {text}


def test_numbers_stay_numbers_and_a_missing_text_is_missing(tmp_path):
    rows = pd.DataFrame({"label": ["NA", ""], "omega": [0.1, 1], "seed": [0, 1], "widths": "1"})
    rows.to_csv(tmp_path / "records.csv", index=False)
    records = read_csv(tmp_path / "records.csv")
    assert records["omega"].tolist() == [0.1, 1] and records["seed"].tolist() == [0, 1]
    assert records["label"][0] == "NA" and pd.isna(records["label"][1])
