"""The page of costs and of the generators' fidelity."""

import pandas as pd

from benchmarks.metrics.columns import cost_columns
from benchmarks.reporting.frames import has_values
from benchmarks.reporting.names import omega_values, seeds_name, setting_name
from benchmarks.reporting.pages.differences import page_by_omega
from benchmarks.reporting.table import Page, short


def cost_page(records: pd.DataFrame, summary: pd.DataFrame, setting: tuple) -> Page:
    """Traffic, time, FLOP, memory and fidelity of one setting, a row per omega and method.

    Args:
        records: the setting's rows per cell and scored round.
        summary: what ``comparison.summarise`` makes of them; columns without a value are left out.
        setting: data set, number of clients and widths.
    """
    shown = {}
    for heading, (column, unit) in cost_columns().items():
        if has_values(summary, column):
            shown[heading] = (column, unit)
    sizes = sorted(summary["fidelity_n"].dropna().unique())
    if len(sizes) > 1:  # a method with a fixed set of images may have fewer
        shown["images"] = ("fidelity_n", 1)

    cells = []
    for row in summary.to_dict("records"):
        cells.append([short(row[column] / unit) for column, unit in shown.values()])

    notes = [
        f"Means over seeds ({seeds_name(summary['n'])}); bytes, seconds and FLOP up to the last "
        "round, all clients together. MB = 1e6 bytes, of the payloads that crossed. Seconds: the "
        "method's own code and the shared stages it uses, charged in full also where they came "
        "from the cache; scoring excluded. CPU s: the processor's over all threads, which other "
        "work on the machine does not lengthen. – : nothing to measure."
    ]
    if has_values(summary, "fid_domain"):
        notes.append(
            "FID and IS (domain) are over the features of a classifier trained on "
            f"{setting[0]}, n = {' or '.join(f'{n:g}' for n in sizes)} images: not comparable with "
            "an Inception FID. Floor: the FID of real images against real images; real: the IS of "
            "real images; both at the same n. A smaller n makes an FID larger: compare it with its "
            "own floor. Balanced: the FID of images chosen to have the real ones' class shares, "
            "which tells how they look from how often each class is drawn."
        )

    caption = f"Cost and generators on {setting_name(*setting)}"
    return page_by_omega(caption, summary, list(shown), cells, notes, omega_values(records))
