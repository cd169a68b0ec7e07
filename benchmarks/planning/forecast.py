"""What cells would cost on a GPU, before any of them has run: their floating-point operations.

PyTorch counts the FLOPs of one image's pass through each network on the meta device. How many
images pass is decided by the methods' loops; ``method_flops.py`` repeats it. Records of finished
cells hold the same sums as they were measured, and a test compares the two. Left out is what is
below a hundredth: averages, meta models, k-means, FedGen's generator of features, and scoring.
"""

from collections.abc import Hashable, Iterable

import pandas as pd

from benchmarks.planning.cell import Cell
from benchmarks.planning.method_flops import PARTS

PEAKS = {"RTX 4090": 165e12, "A100": 312e12, "H100 SXM": 989e12}
"""FLOP/s in bfloat16 with float32 sums, dense, as NVIDIA's data sheets state them."""

UTILISATION = 0.1
"""The expected share of a peak: an assumption, for small networks rarely keep a GPU busy."""


def without_forecast(cells: Iterable[Cell]) -> list[str]:
    """The methods among the cells that have no forecast: those from outside."""
    return sorted({cell.method for cell in cells} - PARTS.keys())


def total_flops(cells: Iterable[Cell]) -> float:
    """FLOPs of all cells together; what several of them share counts once.

    Args:
        cells: cells; those of methods without a forecast are left out.

    Returns:
        The sum; NaN if local training is counted in epochs of data that are not on this machine.
    """
    parts: dict[Hashable, float] = {}
    for cell in cells:
        if cell.method not in PARTS:
            continue
        for i, part in enumerate(PARTS[cell.method](cell.task, cell.config)):
            name = part.name or (cell.key, i)
            parts[name] = max(part.flops, parts.get(name, part.flops))
    return sum(parts.values())


def forecast(cells: Iterable[Cell]) -> pd.DataFrame:
    """PFLOP and hours on each GPU.

    Args:
        cells: cells; those of methods without a forecast are left out.

    Returns:
        One row per data set and one for "all"; no row if no cell has a forecast.
    """
    by_dataset: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.method in PARTS:
            by_dataset.setdefault(cell.dataset_name, []).append(cell)

    pflop = {dataset: total_flops(group) / 1e15 for dataset, group in by_dataset.items()}
    if pflop:
        pflop["all"] = sum(pflop.values())

    table = pd.DataFrame({"PFLOP": pd.Series(pflop, dtype=float)})
    for gpu, peak in PEAKS.items():
        table[gpu] = table["PFLOP"] * 1e15 / (peak * UTILISATION) / 3600
    return table
