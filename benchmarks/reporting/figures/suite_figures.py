"""All figures of a suite's records."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.reporting.figures.accuracy import accuracy_vs_omega, learning_curves
from benchmarks.reporting.figures.cost import accuracy_vs_cost, bytes_by_kind
from benchmarks.reporting.figures.generator_budget import accuracy_vs_flop, images_vs_flop
from benchmarks.reporting.figures.growth import growth_figure
from benchmarks.reporting.figures.look import save
from benchmarks.reporting.figures.ranks import rank_diagram
from benchmarks.reporting.pages import generator_budget, growth
from benchmarks.reporting.pages.communication import LINKS, wants_communication
from benchmarks.reporting.parts import Failures, part


def write_figures(
    records: pd.DataFrame,
    folder: Path,
    pages: Sequence[str] = (),
    failures: Failures | None = None,
) -> list[Path]:
    """Write the figures of accuracy, learning and cost; those without content are left out.

    Args:
        records: rows per cell and scored round.
        folder: where the figures are written.
        pages: the pages that the suite asks for; "communication" has figures of its own.
        failures: get the figures that cannot be drawn; None: their errors are raised.

    Returns:
        The paths of the files.
    """
    paths = []
    for name, draw in _figures(records, pages).items():
        with part(f"figures/{name}", failures):
            figure = draw(records)
            if figure is not None:
                paths += save(figure, Path(folder), name)
    return paths


def _figures(
    records: pd.DataFrame, pages: Sequence[str]
) -> dict[str, Callable[[pd.DataFrame], Figure | None]]:
    """What draws each figure, by its name."""
    figures: dict[str, Callable[[pd.DataFrame], Figure | None]] = {
        "accuracy_vs_omega": accuracy_vs_omega,
        "learning_curves": learning_curves,
        "accuracy_vs_bytes": partial(accuracy_vs_cost, what="bytes"),
        "accuracy_vs_seconds": partial(accuracy_vs_cost, what="seconds"),
    }
    if wants_communication(records, pages):
        for mbits in LINKS:
            draw = partial(accuracy_vs_cost, what="seconds", mbits=mbits)
            figures[f"accuracy_vs_seconds_at_{mbits}mbits"] = draw
    if generator_budget.NAME in pages:
        figures["accuracy_vs_flop"] = accuracy_vs_flop
        figures["images_vs_flop"] = images_vs_flop
    if growth.NAME in pages:
        figures["growth"] = growth_figure
    figures["bytes_by_kind"] = bytes_by_kind
    figures["mean_ranks"] = rank_diagram
    return figures
