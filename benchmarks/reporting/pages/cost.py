"""The page of costs."""

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.differences import page_by_omega
from benchmarks.reporting.table import Page, short

COSTS = {
    "upload MB": ("upload_bytes", 1e6),
    "download MB": ("download_bytes", 1e6),
}  # heading: (column, its unit)


def cost_page(summary: pd.DataFrame, setting: tuple) -> Page:
    shown = {heading: cost for heading, cost in COSTS.items() if summary[cost[0]].notna().any()}
    notes = [
        f"Means over seeds ({st.seeds_name(summary['n'])}); bytes, seconds and FLOP up to the last round, all clients "
        "together. MB = 1e6 bytes, of the payloads that crossed. Seconds: the method's own code and the shared stages "
        "it uses, charged in full also where they came from the cache; scoring excluded. CPU s: the processor's over "
        "all threads, which other work on the machine does not lengthen. – : nothing to measure."
    ]
    if summary["fid_domain"].notna().any():
        sizes = ", ".join(sorted({f"{n:g}" for n in summary["fidelity_n"].dropna()}))
        notes.append(
            f"FID and IS (domain) are over the features of a classifier trained on {setting[0]}, n = {sizes} images: "
            "not comparable with an Inception FID. Floor: the FID of real images against real images; real: the IS of "
            "real images; both at the same n."
        )
    cells = [
        [short(row[column] / unit) for column, unit in shown.values()]
        for row in summary.to_dict("records")
    ]
    return page_by_omega(
        f"Cost and generators on {st.setting_name(*setting)}", summary, list(shown), cells, notes
    )
