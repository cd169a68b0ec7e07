"""The page of paired differences."""

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.table import Page, p_value, short


def difference_page(differences: pd.DataFrame, setting: tuple, reference: str) -> Page:
    columns = {"points": "difference", "sd": "sd", "± 95% CI": "ci", "n": "n", "p": "p"}
    columns |= ({"p Wilcoxon": "p_wilcoxon"} if differences["p_wilcoxon"].notna().any() else {}) | {
        "p Holm": "p_holm"
    }
    write = dict.fromkeys(columns, p_value) | {
        "points": lambda d: f"{100 * d:+.1f}".replace("-", "−").replace("+nan", "–"),
        "n": str,
    }
    write |= dict.fromkeys(("sd", "± 95% CI"), lambda fraction: short(100 * fraction))
    cells = [
        [write[name](row[columns[name]]) for name in columns]
        for row in differences.to_dict("records")
    ]
    family = ", ".join(
        f"{k} at ω {o:g}" for o, k in differences.groupby("omega")["holm_over"].first().items()
    )
    note = (
        f"Method minus {reference}, paired by seed, last round: positive means better than {reference}. p: two-sided "
        f"paired t-test; Holm's correction over the tested competitors at each omega ({family}), floor and ceiling "
        "not counted. – where there is no test: fewer than 2 pairs, or every pair differs by the same amount."
    )
    caption = (
        f"Paired differences to {reference} on {st.setting_name(*setting)} (percentage points)"
    )
    return page_by_omega(caption, differences, list(columns), cells, [note])


def page_by_omega(
    caption: str, table: pd.DataFrame, header: list[str], cells: list[list[str]], notes: list[str]
) -> Page:
    """A page with a row for each omega and method of the table, and a line where omega changes."""
    omegas = [f"{omega:g}" for omega in table["omega"]]
    rows = [
        [omega, method, *row]
        for omega, method, row in zip(omegas, table["method"], cells, strict=True)
    ]
    rules = frozenset(i for i in range(1, len(rows)) if omegas[i] != omegas[i - 1])
    return Page(caption, ["ω", "method", *header], rows, notes, rules=rules, n_names=2)
