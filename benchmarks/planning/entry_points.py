"""What installed packages offer: methods, data sets, models and metrics, by name."""

from importlib import metadata
from typing import Literal

Kind = Literal["method", "dataset", "model", "metric", "partition"]

GROUPS: dict[Kind, str] = {
    "method": "mosaic_bench.methods",
    "dataset": "mosaic_bench.datasets",
    "model": "mosaic_bench.models",
    "metric": "mosaic_bench.metrics",
}
"""The entry point group in which an installed package offers each kind."""


def entry_points(kind: Kind) -> dict[str, metadata.EntryPoint]:
    """What installed packages offer of a kind, by name."""
    return {point.name: point for point in metadata.entry_points(group=GROUPS[kind])}
