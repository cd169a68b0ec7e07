"""Which cells are run again: a draw that is spread over the methods."""

import random
from collections.abc import Iterable

from benchmarks.planning.cell import Cell


def drawn(cells: Iterable[Cell], n: int | None, seed: int) -> list[Cell]:
    """Draw cells, one of each method before any method has a second one.

    The draw depends on the keys and the seed only, so anybody draws the same cells.

    Args:
        cells: those that can be run again; of equal keys the first one counts.
        n: how many; None: all of them.
        seed: of the draw.

    Returns:
        At most n cells, sorted by their keys.
    """
    by_key: dict[str, Cell] = {}
    for cell in cells:
        by_key.setdefault(cell.key, cell)
    if n is None:
        return [by_key[key] for key in sorted(by_key)]

    strata: dict[str, list[Cell]] = {}
    for key in sorted(by_key):
        strata.setdefault(by_key[key].method, []).append(by_key[key])
    rng = random.Random(seed)
    for method in sorted(strata):
        rng.shuffle(strata[method])

    chosen: list[Cell] = []
    while strata and len(chosen) < n:
        left = sorted(strata)
        rng.shuffle(left)
        for method in left[: n - len(chosen)]:
            chosen.append(strata[method].pop())
            if not strata[method]:
                del strata[method]
    return sorted(chosen, key=lambda cell: cell.key)
