"""The published algorithms, one a file."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    BASELINES: dict[str, ModuleType]

NAMES = (
    "local",
    "fedavg",
    "fedprox",
    "fedrs",
    "fedlc",
    "fedbn",
    "scaffold",
    "feddyn",
    "moon",
    "heterofl",
    "fedrolex",
    "ensemble",
    "fens",
    "prototype_head",
    "ccvr",
    "fedcgs",
    "fedpft",
    "fedgen",
    "fedftg",
    "dfrd",
    "feddf",
    "dense",
    "coboosting",
    "dfdg",
    "fedcvae",
    "federatedfactory",
    "sda_fl",
    "data_sharing",
    "centralised",
)
"""The name of each algorithm's file. The order here is the order of the tables."""


def __getattr__(name: str) -> dict[str, ModuleType]:
    """Import the algorithms when BASELINES is first used: their names are known without PyTorch."""
    if name != "BASELINES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in NAMES}
    globals()["BASELINES"] = modules
    return modules
