"""LaTeX takes the tables as they are: the committed ones, and those of labels of any characters."""

import shutil
import subprocess
from pathlib import Path

import pytest
from odd_labels import ODD, labelled

from benchmarks.reporting.tables import write_tables

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = sorted(RESULTS.glob("**/table.tex"))

DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
\input{table.tex}
\end{document}
"""


def compiled(table: Path, folder: Path) -> str:
    """What LaTeX says of a table in a document; an error of it fails the test."""
    if shutil.which("pdflatex"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    elif shutil.which("tectonic"):
        command = ["tectonic", "document.tex"]
    else:
        pytest.skip("no LaTeX here: apt-get install texlive-latex-base texlive-latex-recommended")
    (folder / "document.tex").write_text(DOCUMENT)
    (folder / "table.tex").write_bytes(table.read_bytes())
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (folder / "document.pdf").stat().st_size > 10_000
    return done.stdout


@pytest.mark.parametrize("table", COMMITTED, ids=lambda path: path.parent.name)
def test_every_committed_table_compiles(table, tmp_path):
    compiled(table, tmp_path)


@pytest.mark.slow
def test_tables_of_odd_labels_compile_and_are_as_narrow_as_the_page(tmp_path):
    ascii_labels = [label for label in ODD if label.isascii()]
    write_tables(labelled(ascii_labels), tmp_path / "tables")
    said = compiled(tmp_path / "tables" / "table.tex", tmp_path)
    assert "Overfull" not in said
