"""Any label is in every table as it was written, whatever its characters."""

import csv
import re
from io import BytesIO, StringIO, TextIOWrapper

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from odd_labels import ODD, accuracy_of, labelled
from rich.console import Console

from benchmarks.output import READABLE
from benchmarks.reporting.table import Page, latex, markdown
from benchmarks.reporting.tables import write_tables
from benchmarks.reporting.terminal import terminal_table
from benchmarks.texts import LONGEST_FILE_NAME, file_names, one_line

ANY = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.text(r"\$%&#_{}~^|*`<>[]()!-'\"/=., n1a" + "\n\r\t", min_size=1, max_size=12),
)
LABELS = st.lists(ANY, min_size=1, max_size=4, unique=True)

fast = settings(deadline=None, max_examples=60, derandomize=True)


def page_of(labels: list[str]) -> Page:
    """A table with a label per row, in a caption and in a note."""
    rows = [[label, f"{accuracy_of(i):.3f}"] for i, label in enumerate(labels)]
    return Page(f"On {labels[0]}", ["method", "ω 1"], rows, [f"Failed: {labels[-1]} at ω 1"])


def spaced(text: str) -> str:
    """The text as a reader sees it: formats show several spaces as one."""
    return " ".join(text.split())


def cells_of_markdown(text: str) -> list[str]:
    """The texts of a page's cells, caption and notes, as a Markdown reader shows them."""
    cells = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "inline":
            parts = token.children or []
            assert all(part.type in ("text", "text_special") for part in parts), parts
            cells.append("".join(part.content for part in parts))
    return cells


@fast
@given(LABELS)
def test_markdown_shows_every_label(labels):
    shown = [spaced(cell) for cell in cells_of_markdown(markdown(page_of(labels)))]
    wanted = [spaced(one_line(label)) for label in labels]
    assert shown[0] == spaced(one_line(f"On {labels[0]}"))
    assert shown[3:-1:2] == wanted
    assert shown[4:-1:2] == [f"{accuracy_of(i):.3f}" for i in range(len(labels))]
    assert shown[-1] == spaced(one_line(f"Failed: {labels[-1]} at ω 1"))


COMMANDS = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"$\omega$": "ω",
    r"$\alpha$": "α",
    r"$\pm$": "±",
    r"$\geq$": "≥",
    r"$\times$": "×",
    r"$^\dagger$": "†",
    r"\ldots{}": "…",
    "$-$": "−",
    "$<$": "<",
    "$>$": ">",
    "$|$": "|",
    "{[}": "[",
    "{]}": "]",
    "{*}": "*",
    "{''}": '"',
    "--": "–",
    "{}": "",
} | {f"\\{character}": character for character in "&%$#_{}"}


def typeset(text: str) -> str:
    """What LaTeX sets for a text of our tables; anything that it would not take is an error."""
    shown = ""
    while text:
        command = next((c for c in COMMANDS if text.startswith(c)), None)
        if command is None:
            assert text[0] not in "\\&%$#_{}~^", text
            assert not re.match(r"--|''|``|,,|[?!]`", text), text
            command = text[0]
        shown += COMMANDS.get(command, command)
        text = text[len(command) :]
    return shown


@fast
@given(LABELS)
def test_latex_shows_every_label(labels):
    lines = latex(page_of(labels)).split("\n")
    start = lines.index("\\midrule") + 1
    for i, label in enumerate(labels):
        name, number = re.split(r"(?<!\\) & ", lines[start + i].removesuffix(" \\\\"))
        assert not name.startswith(("[", "*"))  # \\ of the row before would take it
        assert spaced(typeset(name)) == spaced(one_line(label))
        assert number == f"{accuracy_of(i):.3f}"


def test_latex_keeps_letters_beyond_ascii():
    assert "Müller ß & 0" in latex(page_of(["Müller ß"]))
    assert "中文 & 0" in latex(page_of(["中文"]))


@pytest.mark.parametrize("width", [20, 33, 60, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "cp1252"])
def test_the_terminal_shows_every_label_and_number_in_every_encoding(width, encoding):
    labels = [label for label in ODD if len(label) < 40]
    output = TextIOWrapper(BytesIO(), encoding=encoding, errors=READABLE)
    Console(file=output, width=width, emoji=False).print(terminal_table(labelled(labels)))
    output.flush()
    lines = output.buffer.getvalue().decode(encoding).split("\n")
    assert max(len(line) for line in lines) <= width

    # Below the heading each line has a piece of a label, and the first of a label its numbers too.
    numbers = []
    pieces = ""
    for line in lines[next(i for i, line in enumerate(lines) if line.startswith("method")) + 1 :]:
        of_row = re.search(r"(\s{2,}(–|-|\d+\.\d( (±|\+/-) \d\.\d)?))+\s*$", line)
        numbers += re.findall(r"\d+\.\d", of_row[0]) if of_row else []
        pieces += re.sub(r"\s", "", line[: of_row.start()] if of_row else line)
    for i, label in enumerate(labels):
        shown = one_line(label).encode(encoding, READABLE).decode(encoding)
        assert re.sub(r"\s", "", shown) in pieces
        if width > 33:
            assert f"{100 * accuracy_of(i, 0) + 0.1:.1f}" in numbers


def test_every_label_is_in_every_file_of_tables(tmp_path):
    records = labelled(ODD)
    paths = write_tables(records, tmp_path, reference=ODD[0])
    summary, in_markdown, in_latex = [path.read_bytes().decode() for path in paths]

    labels = [row["label"] for row in csv.DictReader(StringIO(summary, newline=""))]
    assert sorted(set(labels)) == sorted(ODD) and len(labels) == 2 * len(ODD)
    seen = [spaced(cell) for cell in cells_of_markdown(in_markdown.replace("**", ""))]
    for label in ODD:
        # accuracies, budgets and ranks once; costs, selections at two omegas; but the reference's
        # own row, the differences at two omegas
        n = seen.count(spaced(one_line(label)))
        assert n >= (9 if label != ODD[0] else 7), (label, n)
    assert in_latex.isprintable() or "\n" in in_latex


def test_a_csv_file_gives_labels_back(tmp_path):
    path = tmp_path / "records.csv"
    path.write_bytes(labelled(ODD).to_csv(index=False).encode())
    back = pd.read_csv(path, dtype={"label": str}, keep_default_na=False)
    assert list(back["label"].unique()) == ODD


@fast
@given(st.lists(ANY, min_size=1, max_size=6))
def test_two_texts_never_share_a_file(texts):
    names = file_names(texts)
    assert len({name.casefold() for name in names}) == len(texts)
    assert file_names(texts) == names
    for name in names:
        assert "/" not in name and "\0" not in name and "\n" not in name
        assert len(name.encode()) <= LONGEST_FILE_NAME


def test_usual_names_of_files_stay_as_they_are():
    assert file_names(["heatmap_mosaic_digits_omega0.1_4_rho=5", "b c"]) == [
        "heatmap_mosaic_digits_omega0.1_4_rho=5",
        "b-c",
    ]
