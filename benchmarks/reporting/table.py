"""A table before it has a format, and its two formats: Markdown and LaTeX (booktabs)."""

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.texts import one_line

NOTHING = "–"
"""The cell of a table that has no value."""

LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "*": "{*}",  # at the start of a row it would belong to the row's end before
        "^": r"\textasciicircum{}",
        '"': "{''}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        "[": "{[}",  # a bare [ at the start of a row would end \\[...]
        "]": "{]}",
        "±": r"$\pm$",
        "ω": r"$\omega$",
        "α": r"$\alpha$",
        "≥": r"$\geq$",
        "−": "$-$",
        "†": r"$^\dagger$",
        "–": "--",
        "…": r"\ldots{}",
        "×": r"$\times$",
        "→": r"$\to$",
    }
)

LATEX_HEAD = """\
% Needs \\usepackage{booktabs} and \\usepackage{graphicx}, which makes tables as narrow as the page.
% It is in UTF-8, LaTeX's own encoding since 2018. pdfLaTeX has Latin letters with accents; for
% labels in other scripts use LuaLaTeX or XeLaTeX with a font that has them.
"""

AS_WIDE_AS_THE_PAGE = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
"""A table that is wider than the page would lose its last columns."""

LIGATURES = re.compile(r"(?<=([-'`,]))(?=\1)|(?<=[?!])(?=`)")
"""Where LaTeX would make one sign of two, such as a dash of "--"."""

MARKDOWN = re.compile(r"([\\|*_`<\[&~$]|#$)")
"""What Markdown, or mathematics in it, would take for more than a character."""


@dataclass(frozen=True)
class Page:
    """A table before it has a format: plain texts, and what is bold.

    Args:
        caption: the title above the table.
        header: one heading per column.
        rows: the cells, row by row.
        notes: sentences under the table.
        bold: the (row, column) of the cells in bold.
        rules: the rows that have a line above them.
        n_names: number of leading columns that are text; the others are numbers.
        setting: data set, number of clients and widths that it is of; None for several ones.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]
    bold: frozenset[tuple[int, int]] = frozenset()
    rules: frozenset[int] = frozenset()
    n_names: int = 1
    setting: tuple | None = None


def mean_sd(mean: float, sd: float) -> str:
    """Fractions in per cent with one decimal, e.g. "73.0 ± 1.2"; the sd only where it is known."""
    if math.isnan(mean):
        return NOTHING
    text = f"{100 * mean:.1f}"
    if not math.isnan(sd):
        text += f" ± {100 * sd:.1f}"
    return text


def p_value(p: float) -> str:
    """A p value with three decimals."""
    if math.isnan(p):
        return NOTHING
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}"


def short(value: float) -> str:
    """A number at about three digits."""
    if math.isnan(value):
        return NOTHING
    if abs(value) >= 100 or value == 0:
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.1f}"
    return f"{value:.2g}"


def signed(points: float) -> str:
    """A difference with one decimal and its sign, e.g. "+5.7" or "−1.7" (a true minus sign)."""
    if math.isnan(points):
        return NOTHING
    return f"{points:+.1f}".replace("-", "−")


def span(values: Iterable[float], text_of: Callable[[float], str]) -> str:
    """One number, or the least and the greatest of several; a dash for none and for zero.

    Args:
        values: the numbers; NaN is left out.
        text_of: the text of one of them.
    """
    known = [value for value in values if not math.isnan(value)]
    if not known or max(known) == 0:
        return NOTHING
    low = text_of(min(known))
    high = text_of(max(known))
    if low == high:
        return low
    return f"{low} to {high}"


def rules_between(values: list[str]) -> frozenset[int]:
    """The rows whose value differs from that of the row above: a line is drawn above these."""
    return frozenset(i for i in range(1, len(values)) if values[i] != values[i - 1])


def markdown(page: Page) -> str:
    """The page as Markdown: a heading, the table, and the notes as a list."""
    alignments = []
    for j in range(len(page.header)):
        alignments.append("---" if j < page.n_names else "---:")

    lines = [f"### {markdown_text(page.caption)}", ""]
    lines.append(_markdown_row([markdown_text(heading) for heading in page.header]))
    lines.append(_markdown_row(alignments))
    for i, row in enumerate(page.rows):
        cells = []
        for j, text in enumerate(row):
            cell = markdown_text(text)
            cells.append(f"**{cell}**" if (i, j) in page.bold else cell)
        lines.append(_markdown_row(cells))
    lines.append("")

    lines += [f"- {markdown_text(note)}" for note in page.notes]
    lines.append("")
    return "\n".join(lines)


def markdown_list(heading: str, texts: list[str]) -> str:
    """A heading and a list below it, as Markdown."""
    lines = [f"### {markdown_text(heading)}", ""]
    lines += [f"- {markdown_text(text)}" for text in texts]
    lines.append("")
    return "\n".join(lines)


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def markdown_text(text: str) -> str:
    """The text on one line, with what Markdown would take for more than a character escaped."""
    return MARKDOWN.sub(r"\\\1", one_line(text))


def latex(page: Page) -> str:
    """The page as a LaTeX table, see ``LATEX_HEAD``; signs of this project's own are in ASCII."""
    columns = "l" * page.n_names + "r" * (len(page.header) - page.n_names)
    lines = [
        "\\begin{table}[tbp]",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{_latex_text(page.caption)}}}",
        f"{AS_WIDE_AS_THE_PAGE}{{\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _latex_row([_latex_text(heading) for heading in page.header]),
        "\\midrule",
    ]

    for i, row in enumerate(page.rows):
        if i in page.rules:
            lines.append("\\midrule")
        cells = []
        for j, text in enumerate(row):
            cell = _latex_text(text)
            cells.append(f"\\textbf{{{cell}}}" if (i, j) in page.bold else cell)
        lines.append(_latex_row(cells))

    lines.append("\\bottomrule")
    lines.append("\\end{tabular}}")
    lines.append("\\par\\smallskip")
    lines.append("\\begin{minipage}{\\linewidth}\\raggedright")
    for note in page.notes:
        lines.append(f"{_latex_text(note)}\\par")
    lines.append("\\end{minipage}")
    lines.append("\\end{table}")
    lines.append("")
    return "\n".join(lines)


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _latex_text(text: str) -> str:
    """The text on one line, with its special characters escaped; letters stay as they are."""
    text = one_line(text)
    starts = [0, *(match.start() for match in LIGATURES.finditer(text))]
    pieces = [text[i:j] for i, j in itertools.pairwise([*starts, len(text)])]
    return "{}".join(piece.translate(LATEX) for piece in pieces)
