"""By how many points a method's accuracies may differ between two kinds of machines.

Processors add sums in other orders. Training makes points of the last bits, and how many depends on
the method: ``tolerances.toml`` has what was measured of each, and how.

All methods that were not measured have the largest tolerance, within which a run proves little. A
smaller one by kind would be a guess: of methods without generators only FedAvg and the ensemble of
local models were measured, a cell or two each. What a method needs does not tell how it trains:
SCAFFOLD needs nothing, and neither does DENSE, whose server trains a generator against its student.
And the two errors are not alike: too large a tolerance is a weak test, which says so; too small a
one calls an honest record wrong. Only measuring a method makes its tolerance smaller.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.planning.toml_files import read_toml

FILE = Path(__file__).parent / "tolerances.toml"


@dataclass(frozen=True)
class Tolerance:
    """What is accepted where equality to the bit is not expected.

    Attributes:
        method: whose it is; "methods that were not measured" for all others.
        points: the largest accepted difference of an accuracy, in percentage points.
        source: where it comes from, in words.
    """

    method: str
    points: float
    source: str


@functools.cache
def _table() -> dict[str, Any]:
    return read_toml(FILE)


def tolerance_of(method: str) -> Tolerance:
    """The tolerance of a method by its name in METHODS."""
    table = _table()
    factor, least = table["factor"], table["least"]
    measured = table["points"]
    if method in measured:
        source = f"{factor:g} times the {measured[method]:g} measured; tolerances.toml"
        return Tolerance(method, max(least, factor * measured[method]), source)
    most = max(measured.values())
    source = (
        f"that of the method that varied most, {factor:g} times {most:g}, so agreement proves "
        "little; tolerances.toml"
    )
    return Tolerance("methods that were not measured", max(least, factor * most), source)
