"""The page of average ranks."""

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.table import Page


def rank_page(ranks: pd.DataFrame, records: pd.DataFrame, reference: str) -> Page:
    counts = st.win_tie_loss(records, reference).set_index("method")
    rows = []
    for method, rank in zip(ranks["method"], ranks["rank"], strict=True):
        versus = (
            " / ".join(map(str, counts.loc[method, ["wins", "ties", "losses"]]))
            if method in counts.index
            else "–"
        )
        rows.append([method, f"{rank:.2f}", versus])
    note = (
        f"Mean rank (1 is best) over the {ranks['n'].max()} blocks (dataset, clients, widths, omega, seed) that every "
        f"competitor finished. Win / tie / loss: of {reference} against the row's method, over the blocks that both "
        "finished; a tie is less than 0.05 points."
    )
    return Page(
        "Ranks over all settings",
        ["method", "mean rank", f"{reference} wins / ties / loses"],
        rows,
        [note],
    )
