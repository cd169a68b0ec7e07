"""Tables: what a reader sees, in Markdown, LaTeX, CSV and the terminal."""

import math
import re
from io import StringIO

import pandas as pd
import pytest

from benchmarks.reporting.tables import write_tables
from mosaic.fl.errors import InputError


@pytest.fixture(scope="module")
def texts(tmp_path_factory, make_records) -> dict[str, str]:
    paths = write_tables(make_records(), tmp_path_factory.mktemp("tables"))
    assert [path.name for path in paths] == ["summary.csv", "table.md", "table.tex"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(
        path.name for path in paths
    )
    return {path.name: path.read_text() for path in paths}


def test_accuracy_table(texts):
    lines = texts["table.md"].splitlines()
    assert (
        lines[0]
        == "### Accuracy on digits, 4 clients, full width (per cent, mean ± sd, n = 2 to 3 seeds)"
    )
    assert lines[2] == "| method | data-free | ω 0.1 | ω 1 |"
    assert [line.split(" | ")[0].strip("| ") for line in lines[4:10]] == [
        *("local (floor)", "fedrolex", "dense", "mosaic", "fedavg\\_x", "centralised (ceiling)")
    ]
    # mosaic: (71.8 + 73.0 + 74.2) / 3 = 73.0, deviations -1.2 0 1.2, sd sqrt(2.88 / 2) = 1.2.
    assert lines[7].startswith("| mosaic | – | **73.0 ± 1.2** |")
    # dense: .55 and .57: mean 56.0, sd sqrt((1 + 1) / 1) = 1.4.
    assert "56.0 ± 1.4" in lines[6] and "failed (1 of 3)" in lines[6]
    assert lines[5] == "| fedrolex | – | n/a | n/a |"


def test_notes_say_what_was_measured_and_what_went_wrong(texts):
    text = texts["table.md"]
    for told in (
        "Accuracies on the full test set; last round; n = 2 to 3 seeds.",
        "sample standard deviation over seeds (ddof 1)",
        "seeds can only detect differences ≥",
        "Failed: dense at ω 0.1, 1, seed 1: loss > 1e9",
        "n/a: fedrolex at ω 0.1, 1, seed 0: one width \\| nothing to roll",
        "Warning: mosaic at ω 0.1, 1, seed 0, 1, 2: e.g. 20% near-duplicates",
        "over the features of a classifier trained on digits, n = 5000 images",
        "p corrected for the 4 comparisons with competitors in all settings",
        "scale quick; processor Xeon\\_A",
    ):
        assert told in text
    assert "not paired" not in text


def test_cost_selection_and_difference_tables(texts):
    text = texts["table.md"]
    assert "| 0.1 | mosaic | 42.0 | 0.5 | 100 | 10.0 | 45.1 | 2.1 | 6.0 | 8.0 |" in text
    assert "| 0.1 | local | 42.0 | 0.5 | 100 | 10.0 | – | – | – | – |" in text
    assert "| ω | method | last | validation-selected | oracle |" in text
    # fedavg - mosaic: -.118 -.12 -.12, mean -.11933.
    assert re.search(r"\| 0\.1 \| fedavg\\_x \| −11\.9 \|", text)
    assert "| mosaic | 1.00 | – |" in text


def test_latex_is_balanced_ascii_and_escaped(texts):
    tex = texts["table.tex"]
    assert tex.isascii()
    for name in ("table", "tabular", "minipage"):
        assert tex.count(f"\\begin{{{name}}}") == tex.count(f"\\end{{{name}}}") == 6
    bare = re.sub(
        r"\\[\\&%$#_{}]", "", tex.split("\n", 3)[3]
    )  # without the comments and the escapes
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#~%]", bare) and "_" not in bare
    for body in re.findall(r"\\begin{tabular}{([lr]+)}\n(.*?)\\end{tabular}", tex, flags=re.DOTALL):
        rows = [line for line in body[1].splitlines() if line.endswith("\\\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(body[0])}
        assert body[1].startswith("\\toprule") and body[1].rstrip().endswith("\\bottomrule")
    assert "fedavg\\_x" in tex and "loss $>$ 1e9 \\& 100 \\% wrong\\_" in tex
    assert "\\textbf{73.0 $\\pm$ 1.2}" in tex


def test_csv_keeps_fractions_and_bytes(texts):
    table = pd.read_csv(StringIO(texts["summary.csv"])).set_index(["label", "omega"])
    assert table.loc[("mosaic", 0.1), "accuracy"] == pytest.approx(0.73)
    assert table.loc[("mosaic", 0.1), "upload_bytes"] == 4.2e7


def test_one_seed_has_no_spread_and_no_bold(tmp_path, make_records):
    text = write_tables(make_records(n_seeds=1), tmp_path)[1].read_text()
    assert "(per cent, n = 1 seed)" in text and "| mosaic | – | 71.8 | 71.8 |" in text
    assert "±" not in text.split("### ")[1] and "**" not in text
    assert "no difference here is established" in text


def test_different_partitions_are_told(tmp_path, make_records):
    records = make_records()
    records.loc[records["label"] == "dense", "partition"] = "another"
    assert "not paired: the methods ran on different partitions at ω 0.1, seed 0" in (
        write_tables(records, tmp_path)[1].read_text()
    )


def test_nothing_recorded_and_all_failed(tmp_path, make_records):
    records = make_records()
    assert "No cell is recorded yet." in write_tables(records.iloc[:0], tmp_path)[1].read_text()
    failed = records.assign(status="failed", selection="", reason="no memory")
    assert "failed (3 of 3)" in write_tables(failed, tmp_path)[1].read_text()


def test_a_note_with_a_semicolon_is_one_note(tmp_path, make_records):
    records = make_records().assign(notes="")
    records.loc[records["label"] == "mosaic", "notes"] = "few images; the FID is biased"
    text = write_tables(records, tmp_path)[1].read_text()
    assert "seed 0, 1, 2: few images; the FID is biased" in text


def test_a_list_of_warnings_may_have_semicolons_in_its_texts(tmp_path, make_records):
    records = make_records()
    mosaic = records["label"] == "mosaic"
    records["warnings"] = records["warnings"].astype(object)
    records.loc[mosaic, "warnings"] = pd.Series(
        [["no loss; see the log", "bad images"]] * mosaic.sum(), index=records.index[mosaic]
    )
    text = write_tables(records, tmp_path)[1].read_text()
    assert "seed 0, 1, 2: no loss; see the log" in text and "seed 0, 1, 2: bad images" in text


def test_infinities_that_are_text_in_records_are_numbers_in_tables(tmp_path, make_records):
    records = make_records()
    mosaic = records["label"] == "mosaic"
    records["partition_gini"] = pd.Series([0.5] * len(records), dtype=object)
    records.loc[mosaic, "partition_gini"] = "inf"
    records["fid_domain"] = records["fid_domain"].astype(object)
    records.loc[mosaic, "fid_domain"] = "inf"
    text = write_tables(records, tmp_path)[1].read_text()
    assert "| 0.1 | mosaic | 42.0 | 0.5 | 100 | 10.0 | inf |" in text
    assert "gini inf" in text


def test_a_given_split_is_not_called_an_infinite_omega(tmp_path, make_records):
    records = make_records().replace({"omega": {1.0: math.inf}})
    text = write_tables(records, tmp_path)[1].read_text()
    assert "| method | data-free | ω 0.1 | ω inf |" in text

    given = records.assign(**{"task.law": "class_balanced"})
    given.loc[given["omega"] == math.inf, "task.law"] = "file"
    text = write_tables(given, tmp_path)[1].read_text()
    assert "| method | data-free | ω 0.1 | given split |" in text
    assert "| given split | mosaic |" in text
    assert "inf" not in text


def test_a_suite_chooses_the_reference(tmp_path, make_records):
    text = write_tables(make_records(), tmp_path, reference="dense")[1].read_text()
    assert "Paired differences to dense" in text and "dense wins / ties / loses" in text


def test_an_absent_reference_is_named(tmp_path, make_records):
    text = write_tables(make_records(), tmp_path, reference="denze")[1].read_text()
    assert "Paired differences" not in text
    assert "No paired differences: the reference denze is not among the methods here" in text


def test_an_unknown_page_is_an_error(tmp_path, make_records):
    with pytest.raises(InputError, match="did you mean 'communication'"):
        write_tables(make_records(), tmp_path, pages=["comunication"])


def test_where_methods_have_unlike_numbers_of_images_a_column_says_how_many(tmp_path, make_records):
    records = make_records()
    assert "| images |" not in write_tables(records, tmp_path)[1].read_text()

    dense = (records["label"] == "dense") & (records["status"] == "done")
    records.loc[dense, "fidelity_n"] = 512
    text = write_tables(records, tmp_path)[1].read_text()
    assert "trained on digits, n = 512 or 5000 images" in text
    assert "| IS domain | (real) | images |" in text
