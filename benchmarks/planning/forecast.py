"""What cells would cost on a GPU, before any of them has run: their floating-point operations at a stated rate.

The FLOPs of one image's way through each network are PyTorch's own count on the meta device; how many images take it
is what the methods' loops say, and stands below. Records of finished cells hold the same sums as they were measured,
and a test compares the two. Left out is what is below a hundredth: averages, meta models, k-means, FedGen's generator
of features, what the harness scores.
"""

from collections.abc import Hashable, Iterable

import pandas as pd

from benchmarks.planning.cell import Cell
from benchmarks.planning.method_flops import PARTS

PEAKS = {"RTX 4090": 165e12, "A100": 312e12, "H100 SXM": 989e12}
"""FLOP/s in bfloat16 with float32 sums, dense, as NVIDIA's data sheets state them."""

UTILISATION = 0.1
"""The share of a peak that is reckoned with. An assumption: networks this small rarely keep a GPU busy."""


def total_flops(cells: Iterable[Cell]) -> float:
    """Of all cells together; what several share counts once. NaN where local training is counted in epochs."""
    shared: dict[Hashable, float] = {}
    for cell in cells:
        for i, (key, flops) in enumerate(PARTS[cell.method](cell.task, cell.config)):
            shared[key or (cell.key, i)] = flops
    return sum(shared.values())


def forecast(cells: Iterable[Cell]) -> pd.DataFrame:
    """A row a data set and one for all: PFLOP, and hours on each GPU."""
    by_dataset: dict[str, list[Cell]] = {}
    for cell in cells:
        by_dataset.setdefault(cell.task.dataset, []).append(cell)
    pflop = {dataset: total_flops(group) / 1e15 for dataset, group in by_dataset.items()}
    table = pd.DataFrame({"PFLOP": pflop | {"all": sum(pflop.values())}})
    return table.assign(
        **{gpu: table["PFLOP"] * 1e15 / (peak * UTILISATION) / 3600 for gpu, peak in PEAKS.items()}
    )
