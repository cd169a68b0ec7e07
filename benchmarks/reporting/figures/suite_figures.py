"""All figures of a suite's records."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.reporting.figures.accuracy import accuracy_vs_omega, learning_curves
from benchmarks.reporting.figures.cost import accuracy_vs_cost, bytes_by_kind
from benchmarks.reporting.figures.style import save
from benchmarks.reporting.pages.communication import LINKS, wants_communication


def write_figures(records: pd.DataFrame, folder: Path, pages: Sequence[str] = ()) -> list[Path]:
    """Write the figures of accuracy, learning and cost; those without content are left out.

    Args:
        records: rows per cell and scored round.
        folder: where the figures are written.
        pages: the pages that the suite asks for; "communication" has figures of its own.

    Returns:
        The paths of the files.
    """
    figures = {
        "accuracy_vs_omega": accuracy_vs_omega(records),
        "learning_curves": learning_curves(records),
        "accuracy_vs_bytes": accuracy_vs_cost(records, "bytes"),
        "accuracy_vs_seconds": accuracy_vs_cost(records, "seconds"),
    }
    if wants_communication(records, pages):
        for mbits in LINKS:
            name = f"accuracy_vs_seconds_at_{mbits}mbits"
            figures[name] = accuracy_vs_cost(records, "seconds", mbits)
    figures["bytes_by_kind"] = bytes_by_kind(records)

    paths = []
    for name, figure in figures.items():
        if figure is not None:
            paths += save(figure, Path(folder), name)
    return paths
