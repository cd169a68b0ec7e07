"""Tables: what a reader sees, in Markdown, LaTeX, CSV and the terminal."""

import re
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.reporting.tables import write_tables
from benchmarks.reporting.terminal import terminal_table

ACCURACIES = {  # at omega 0.1: seeds 0, 1, 2
    "centralised": [0.9, 0.91, 0.92],
    "local": [0.30, 0.31, 0.33],
    "fedavg_x": [0.60, 0.61, 0.622],
    "dense": [0.55, None, 0.57],
    "mosaic": [0.718, 0.73, 0.742],
}


def make_records(n_seeds: int = 3) -> pd.DataFrame:
    """Two omegas; dense fails at seed 1; FedRolex is skipped; only Mosaic has generators."""
    rows = []
    for omega in (1.0, 0.1):
        for method, values in ACCURACIES.items():
            for seed, accuracy in enumerate(values[:n_seeds]):
                row = names(method, omega, seed) | {
                    "round": 3,
                    "selection": "last+validation+oracle",
                }
                row |= {
                    "accuracy": accuracy,
                    "upload_bytes": 4.2e7,
                    "download_bytes": 5e5,
                    "method_s": 90.0,
                }
                row |= {
                    "stage_s": 10.0,
                    "warnings": "",
                    "partition": f"{omega}-{seed}",
                    "processor": "Xeon_A",
                }
                if method == "mosaic":
                    row |= {
                        "fid_domain": 45.1,
                        "fid_domain_floor": 2.1,
                        "is_domain": 6.0,
                        "is_domain_real": 8.0,
                    }
                    row |= {"fidelity_n": 5000, "warnings": f"{20 + seed}% near-duplicates"}
                if accuracy is None:
                    row = names(method, omega, seed) | {
                        "status": "failed",
                        "reason": "loss > 1e9 & 100 % wrong_",
                    }
                rows.append(row)
        rows += [
            names("fedrolex", omega, 0)
            | {"status": "skipped", "reason": "one width | nothing to roll"}
        ]
    return pd.DataFrame(rows)


def names(method: str, omega: float, seed: int) -> dict:
    name = {
        "method": method,
        "omega": omega,
        "seed": seed,
        "cell": f"{method}{omega}{seed}",
        "status": "done",
    }
    return name | {
        "dataset": "digits",
        "n_clients": 4,
        "widths": "full",
        "scale": "quick",
        "reason": "",
    }


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict[str, str]:
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
        "Holm's correction over the tested competitors at each omega (2 at ω 0.1, 2 at ω 1)",
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
        r"\\[\\&%$#_{}]", "", tex.split("\n", 1)[1]
    )  # without the first line, a comment, and escapes
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
    table = pd.read_csv(StringIO(texts["summary.csv"])).set_index(["method", "omega"])
    assert table.loc[("mosaic", 0.1), "accuracy"] == pytest.approx(0.73)
    assert table.loc[("mosaic", 0.1), "upload_bytes"] == 4.2e7


def test_one_seed_has_no_spread_and_no_bold(tmp_path):
    text = write_tables(make_records(n_seeds=1), tmp_path)[1].read_text()
    assert "(per cent, n = 1 seed)" in text and "| mosaic | – | 71.8 | 71.8 |" in text
    assert "±" not in text.split("### ")[1] and "**" not in text
    assert "no difference here is established" in text


def test_different_partitions_are_told(tmp_path):
    records = make_records()
    records.loc[records["method"] == "dense", "partition"] = "another"
    assert "not paired: the methods ran on different partitions at ω 0.1, seed 0" in (
        write_tables(records, tmp_path)[1].read_text()
    )


def test_nothing_recorded_and_all_failed(tmp_path):
    records = make_records()
    assert "No cell is recorded yet." in write_tables(records.iloc[:0], tmp_path)[1].read_text()
    failed = records.assign(status="failed", selection="", reason="no memory")
    assert "failed (3 of 3)" in write_tables(failed, tmp_path)[1].read_text()


def test_terminal_table_shows_names_with_brackets_as_they_are():
    records = make_records().replace({"method": {"dense": "dense[bold]"}})
    console = Console(width=120, file=StringIO())
    console.print(terminal_table(records))
    text = console.file.getvalue()
    assert "dense[bold]" in text and "73.0 ± 1.2" in text and "digits, 4 clients" in text
    assert not terminal_table(records.iloc[:0]).renderables
