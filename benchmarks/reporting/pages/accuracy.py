"""The page of accuracies: methods x omega."""

from typing import Any

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.budget import data_free
from benchmarks.reporting.pages.cost import COSTS
from benchmarks.reporting.pages.notes import fact_notes, power_notes, trouble_notes
from benchmarks.reporting.table import Page, mean_sd

COSTS |= {"seconds": ("total_s", 1), "of stages": ("stage_s", 1), "CPU s": ("cpu_s", 1)}

COSTS |= {"TFLOP": ("flops", 1e12), "peak MB": ("peak_memory_bytes", 1e6)}

COSTS |= {"FID domain": ("fid_domain", 1), "(floor)": ("fid_domain_floor", 1)}

COSTS |= {"IS domain": ("is_domain", 1), "(real)": ("is_domain_real", 1)}

COSTS |= {"FID Inception": ("fid_inception", 1), "[floor]": ("fid_inception_floor", 1)}

COSTS |= {"IS Inception": ("is_inception", 1), "[real]": ("is_inception_real", 1)}


def accuracy_page(
    records: pd.DataFrame, summary: pd.DataFrame, setting: tuple, reference: str | None
) -> Page:
    omegas, methods = sorted(summary["omega"].unique()), st.method_order(records)
    cells = {(row.method, row.omega): row for row in summary.itertuples()}
    verdict = st.best_methods(records).set_index(["method", "omega"])
    worse, sure = set(verdict.index[verdict["worse"]]), set(verdict.index[verdict["bold"]])
    names = {st.FLOOR: f"{st.FLOOR} (floor)", st.CEILING: f"{st.CEILING} (ceiling)"}
    free = {m: data_free(records[records["method"] == m]) for m in methods}
    rows = [
        [
            names.get(m, m),
            free[m],
            *(accuracy_text(cells.get((m, o)), (m, o) in worse) for o in omegas),
        ]
        for m in methods
    ]
    bold = {
        (i, j)
        for i, m in enumerate(methods)
        for j, o in enumerate(omegas, start=2)
        if (m, o) in sure
    }
    seeds, several = st.seeds_name(summary["n"]), summary["n"].max() > 1
    notes = [f"Accuracies on the full test set; last round; {seeds}."]
    if several:
        notes.append(
            "± is the sample standard deviation over seeds (ddof 1). Bold: the best mean, where its paired difference "
            "to every other competitor is significant (paired t-test, Holm over those differences, α = .05). "
            "†: significantly worse than the best mean."
        )
    if {st.FLOOR, st.CEILING} & set(methods):
        notes.append(
            f"{st.FLOOR} (no collaboration) and {st.CEILING} (all data pooled) frame the others; not ranked."
        )
    caption = f"Accuracy on {st.setting_name(*setting)} (per cent{', mean ± sd' * bool(several)}, {seeds})"
    rules = {i for i in (1,) if methods[0] == st.FLOOR} | {
        len(rows) - 1 for m in methods[-1:] if m == st.CEILING
    }
    notes += [
        *(power_notes(records, reference) if reference else ()),
        *trouble_notes(records),
        *fact_notes(records),
    ]
    header = ["method", "data-free", *(f"ω {o:g}" for o in omegas)]
    return Page(caption, header, rows, notes, frozenset(bold), frozenset(rules), n_names=2)


def accuracy_text(row: Any, worse: bool) -> str:
    """The cell of one method and omega; None where no such cell was asked for."""
    if row is None:
        return "–"
    failed = (
        f"failed ({row.n_failed} of {row.n + row.n_failed + row.n_skipped})" if row.n_failed else ""
    )
    if row.n == 0:
        return failed or "n/a"
    return "; ".join(filter(None, [mean_sd(row.accuracy, row.accuracy_sd) + " †" * worse, failed]))
