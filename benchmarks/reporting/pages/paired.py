"""Entries of one method beside each other: accuracies, teachers, and differences with intervals.

For suites that change one thing at a time. A difference is that of one seed's two cells, the entry
minus the reference, in points; its interval is the 95 % one of the mean over seeds.
"""

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import has_values, mean_of, of_label, sd_of
from benchmarks.reporting.names import method_order, omega_values, seeds_name, setting_name
from benchmarks.reporting.pages.differences import page_by_omega
from benchmarks.reporting.significance import paired_test
from benchmarks.reporting.table import NOTHING, Page, mean_sd, short, signed

NAME = "paired"
"""The page's name in a suite's ``pages``."""

SCORES = {
    "FID": "fid_domain",
    "worst client": "worst_client_coverage",
    "variation": "label_variation",
    "correlation": "label_correlation",
    "own variation": "diag_label_variation",
    "own correlation": "diag_label_correlation",
}
"""The columns of generated images and of their labels, which are shown where there are any."""

NOTES = {
    "FID": "FID: over the features of a classifier of real images.",
    "worst client": "Worst client: the least coverage of a client's classes by its generator.",
    "variation": "Variation (total, mean over clients; 0 is equal) and correlation: the label "
    "shares of a client's generated images, by the classifier of real images, against those of "
    "its data.",
    "own variation": "Own variation, own correlation: the same, labelled by the client's own "
    "model, where the experts' weights come from these counts.",
}


def paired_page(records: pd.DataFrame, setting: tuple, reference: str) -> Page:
    """A row per omega and label.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
        reference: label of the entry that the others are compared with.
    """
    last = comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    scores = {name: column for name, column in SCORES.items() if has_values(last, column)}
    table = []
    cells = []
    for omega in sorted(last["omega"].unique()):
        at_omega = last.loc[last["omega"] == omega]
        of_reference = of_label(at_omega, reference)
        for label in method_order(at_omega):
            rows = of_label(at_omega, label)
            table.append({"omega": omega, "label": label, "n": rows["seed"].nunique()})
            texts = [*_accuracies(rows, of_reference, "accuracy")]
            texts += _accuracies(rows, of_reference, "accuracy_teacher")
            cells.append(texts + [short(mean_of(rows, column)) for column in scores.values()])

    lines = pd.DataFrame(table, columns=["omega", "label", "n"])
    columns = ["points", "± 95% CI"]
    header = ["accuracy", *columns, "teacher", *(f"teacher's {name}" for name in columns), *scores]
    notes = [
        f"Last round, per cent, {seeds_name(lines['n'])}. Points: minus {reference}, paired by "
        "seed; ± 95% CI: half the interval of their mean, – for one seed. Teacher: test accuracy "
        "of the server's teacher; one that must know who drew an image has none.",
        *(note for name, note in NOTES.items() if name in scores),
    ]
    caption = f"What the entries differ by on {setting_name(*setting)} (percentage points)"
    return page_by_omega(caption, lines, header, cells, notes, omega_values(records))


def _accuracies(rows: pd.DataFrame, of_reference: pd.DataFrame, column: str) -> list[str]:
    """An accuracy's mean, its difference to the reference and the interval of that."""
    if not has_values(rows, column):
        return [NOTHING] * 3
    mean = mean_sd(mean_of(rows, column), sd_of(rows, column))
    if rows["label"].iloc[0] in set(of_reference["label"]) or not has_values(of_reference, column):
        return [mean, NOTHING, NOTHING]
    test = paired_test(_by_seed(rows, column) - _by_seed(of_reference, column))
    return [mean, signed(100 * test["difference"]), short(100 * test["ci"])]


def _by_seed(rows: pd.DataFrame, column: str) -> pd.Series:
    return rows.set_index("seed").loc[:, column]
