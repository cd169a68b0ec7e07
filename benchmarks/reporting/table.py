"""A table before it has a format, and its two formats: Markdown and LaTeX (booktabs)."""

import math
import re
from dataclasses import dataclass

LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''"}
    | {
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        "[": "{[}",
        "]": "{]}",
    }  # a row that opens with [ would end \\[...]
    | {
        "±": r"$\pm$",
        "ω": r"$\omega$",
        "α": r"$\alpha$",
        "≥": r"$\geq$",
        "−": "$-$",
        "†": r"$^\dagger$",
        "–": "--",
    }
)


@dataclass(frozen=True)
class Page:
    """A table before it has a format: plain texts, the (row, column) of those in bold, and the notes under it."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]
    bold: frozenset[tuple[int, int]] = frozenset()
    rules: frozenset[int] = frozenset()  # a line is drawn above these rows
    n_names: int = 1  # so many leading columns are text; the others are numbers


def mean_sd(mean: float, sd: float) -> str:
    """Fractions in per cent, one decimal; the sd only where there is one."""
    return (
        "–"
        if math.isnan(mean)
        else f"{100 * mean:.1f}" + ("" if math.isnan(sd) else f" ± {100 * sd:.1f}")
    )


def p_value(p: float) -> str:
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def short(value: float) -> str:
    """A number of at least 0 at about three digits."""
    if math.isnan(value) or value >= 100 or value == 0:
        return "–" if math.isnan(value) else f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def markdown(page: Page) -> str:
    def escape(text: str) -> str:
        return re.sub(r"([\\|*_`<\[])", r"\\\1", text)

    def cell(i: int, j: int) -> str:
        return f"**{escape(page.rows[i][j])}**" if (i, j) in page.bold else escape(page.rows[i][j])

    rows = [page.header, ["---" if j < page.n_names else "---:" for j in range(len(page.header))]]
    rows += [[cell(i, j) for j in range(len(row))] for i, row in enumerate(page.rows)]
    lines = [f"### {escape(page.caption)}", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join([*lines, *(f"- {escape(note)}" for note in page.notes), ""])


def latex(page: Page) -> str:
    def tex(text: str) -> str:
        return (
            text.translate(LATEX).encode("ascii", "replace").decode()
        )  # what LaTeX may not know becomes ?

    def cell(i: int, j: int) -> str:
        return (
            f"\\textbf{{{tex(page.rows[i][j])}}}" if (i, j) in page.bold else tex(page.rows[i][j])
        )

    columns = "l" * page.n_names + "r" * (len(page.header) - page.n_names)
    lines = ["\\begin{table}[tbp]", "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}"]
    lines += [f"\\caption{{{tex(page.caption)}}}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [" & ".join(map(tex, page.header)) + " \\\\", "\\midrule"]
    for i, row in enumerate(page.rows):
        lines += ["\\midrule"] * (i in page.rules) + [
            " & ".join(cell(i, j) for j in range(len(row))) + " \\\\"
        ]
    lines += [
        "\\bottomrule",
        "\\end{tabular}",
        "\\par\\smallskip",
        "\\begin{minipage}{\\linewidth}\\raggedright",
    ]
    return "\n".join(
        [
            *lines,
            *(f"{tex(note)}\\par" for note in page.notes),
            "\\end{minipage}",
            "\\end{table}",
            "",
        ]
    )
