"""Two small stages, of which one uses the other, and what tests of the cache do with them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.costs import Account, opened

computed: list[str] = []
"""The names of the stages that were computed, and not read from the cache."""


@dataclass(frozen=True)
class Config:
    size: int = 3
    scale: float = 1.0


@stage(version=1)
def weights(config: Config, bias: float = 0.0) -> dict:
    """Random weights of 4 bytes each, which are uploaded."""
    computed.append("weights")
    return upload({"weight": config.scale * torch.randn(config.size) + bias}, "weights")


@stage(version=1)
def model(config: Config) -> dict:
    """A result with tensors of several types and layouts and with plain values of all kinds."""
    computed.append("model")
    time.sleep(0.01)
    kernel = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    parts = upload([weights(config)["weight"], torch.arange(3), torch.tensor(2.5)], "parts")
    return {
        "parts": parts,
        "kernel": kernel,
        "notes": {"loss": 1 / 3, "nothing": None, "name": "cnn"},
        "empty": [],
    }


def call(function: Callable, *args: Any) -> tuple[Any, Account, Tensor]:
    """A stage's result, the account it was charged to, and the caller's random state after it."""
    torch.manual_seed(7)
    with opened(Account()) as account:
        artifact = function(*args)
    return artifact, account, torch.get_rng_state()


def identical(a: Any, b: Any) -> bool:
    """Whether two results are equal in values, types and memory layouts."""
    if isinstance(a, Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(identical, a, b))
    return a == b and type(a) is type(b)


def files(store: Path, name: str, suffix: str) -> list[Path]:
    """A stage's complete files in the cache, without those that were being written."""
    paths = (store / name).glob(f"*{suffix}")
    return [path for path in paths if not path.name.startswith(".")]
