"""Ranks of the competitors, and how often one of them wins, over all blocks of a comparison.

A *block* is one seed of one group: a data set, a number of clients, widths and an omega. Inside it
all methods have the same partition and the same initial weights.
"""

import pandas as pd

from benchmarks.reporting.comparison import GROUP, competitors, selected_rounds
from benchmarks.reporting.names import method_order


def win_tie_loss(records: pd.DataFrame, reference: str, tie: float = 0.0005) -> pd.DataFrame:
    """How often the reference wins against each competitor, over the blocks that both finished.

    Args:
        records: rows per cell and scored round.
        reference: label of the method whose wins are counted.
        tie: differences below this fraction are ties; by default, what one decimal of a per cent
            does not show.

    Returns:
        ``label``, ``wins``, ``ties``, ``losses`` and ``n`` blocks (a block is one seed of one
        group); empty where the reference finished no cell.
    """
    accuracies = blocks(records)
    if reference not in accuracies:
        return pd.DataFrame(columns=["label", "wins", "ties", "losses", "n"])

    others = accuracies.drop(columns=reference)
    gain = others.rsub(accuracies.loc[:, reference], axis=0)
    counts = pd.DataFrame(
        {
            "wins": (gain >= tie).sum(),
            "ties": (gain.abs() < tie).sum(),
            "losses": (gain <= -tie).sum(),
            "n": gain.notna().sum(),
        }
    )
    return counts.rename_axis("label").reset_index()


def average_ranks(records: pd.DataFrame) -> pd.DataFrame:
    """The mean rank of each competitor over the ``n`` blocks that every competitor finished.

    Rank 1 is best and equal accuracies share a rank. A method without some blocks (skipped, failed)
    narrows the blocks for all: ranks among different competitors would not be comparable.
    """
    complete = blocks(records).dropna()  # may be empty: then no method has a rank
    ranks = complete.rank(axis=1, ascending=False).mean()
    table = ranks.rename_axis("label").rename("rank").reset_index().assign(n=len(complete))
    return table.sort_values("rank", kind="stable", ignore_index=True)


def blocks(records: pd.DataFrame) -> pd.DataFrame:
    """Last-round accuracy of the competitors: (blocks, methods); a block is one seed of a group."""
    last = competitors(selected_rounds(records, "last"))
    present = set(last["label"])
    order = [label for label in method_order(records) if label in present]
    wide = last.pivot(index=[*GROUP, "seed"], columns="label", values="accuracy")
    return wide.loc[:, order]
