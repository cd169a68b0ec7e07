"""The page of average ranks."""

import math

import pandas as pd

from benchmarks.reporting import rankings
from benchmarks.reporting.names import setting_name
from benchmarks.reporting.significance import critical_difference, friedman_test
from benchmarks.reporting.table import NOTHING, Page, p_value


def rank_page(ranks: pd.DataFrame, records: pd.DataFrame, setting: tuple, reference: str) -> Page:
    """Mean ranks, and the reference's wins, ties and losses, in one setting.

    Args:
        ranks: what ``rankings.average_ranks`` makes of the records.
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
        reference: label of the method whose wins are counted.
    """
    counts = rankings.win_tie_loss(records, reference)
    versus = {}
    for row in counts.to_dict("records"):
        versus[row["label"]] = f"{row['wins']} / {row['ties']} / {row['losses']}"

    rows = []
    for label, rank in zip(ranks["label"], ranks["rank"], strict=True):
        mean_rank = NOTHING if math.isnan(rank) else f"{rank:.2f}"
        rows.append([label, mean_rank, versus.get(label, NOTHING)])

    n_blocks = int(max(ranks["n"], default=0))
    note = (
        f"Mean rank (1 is best) over the {n_blocks} blocks (omega and seed) that every competitor "
        "finished. – : there is no such block. Win / tie / loss: of "
        f"{reference} against the row's method, over the blocks that both finished; a tie is less "
        "than 0.05 points."
    )
    notes = [note]
    if n_blocks:
        p = p_value(friedman_test(rankings.blocks(records).dropna().to_numpy()))
        critical = critical_difference(len(ranks), n_blocks)
        notes.append(
            f"Friedman's test that all mean ranks are equal: p {p}. Two of them differ if they are "
            f"{critical:.2f} apart (Nemenyi, α = .05). Both take blocks for independent, although "
            "those of one omega resemble one another: read them as a description."
        )
    header = ["method", "mean rank", f"{reference} wins / ties / loses"]
    return Page(f"Ranks on {setting_name(*setting)}", header, rows, notes)
