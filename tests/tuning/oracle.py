"""A method with a known optimum that costs nothing, and the tuner run on it."""

import functools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from benchmarks import tune
from benchmarks.planning.methods import METHODS
from benchmarks.tuning.make_plan import plan_of
from benchmarks.tuning.options import parse
from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.data import loading
from mosaic.fl.rng import stream
from mosaic.fl.task import Task


@dataclass(frozen=True)
class Config:
    a: float = 0.0
    b: float = 1.0
    kind: str = choice("good", "bad")
    nap: float = 0.0  # seconds that a cell takes
    breaks_above: float = math.inf
    peeks: bool = False  # at the test set
    draw: int = 0  # of what is gotten right: a setting of which nothing depends but luck


def answer(task: Task, config: Config, images: torch.Tensor) -> torch.Tensor:
    """The right class of a share of the digits: all at a = 3 and b = 10, fewer the further away."""
    digits = load_digits()
    known = torch.from_numpy(np.round(digits.images * (255 / 16))).float().flatten(1)
    which = torch.cdist(((images + 1) * 127.5).flatten(1).round(), known).argmin(1)
    share = (
        1
        - ((config.a - 3) / 10) ** 2
        - (math.log10(config.b) - 1) ** 2 / 10
        - 0.3 * (config.kind == "bad")
    )
    luck = torch.rand(len(known), generator=stream(task.seed, "oracle", config.draw))
    right = torch.from_numpy(digits.target)[which]
    said = torch.where(luck[which] < share, right, (right + 1) % 10)
    return torch.nn.functional.one_hot(said, 10).float()


def oracle(task: Task, config: Config) -> Iterator[Snapshot]:
    """A method with a known optimum that learns nothing: it knows all digits and gets some wrong."""
    time.sleep(config.nap)
    if config.a > config.breaks_above:
        raise FloatingPointError("a is too large")
    if config.peeks:
        loading.load(task.dataset, "test")
    yield Snapshot(task.rounds, functools.partial(answer, task, config))


ORACLE = SimpleNamespace(
    PAPER="",
    PROTOCOL="none",
    NEEDS=(),
    __doc__="Oracle: it knows.",
    Config=Config,
    SPACE={"a": (-5.0, 5.0), "b": (0.1, 100.0)},
    run=oracle,
)
METHODS_BEFORE = dict(METHODS)
COMMON = [
    "--method",
    "oracle",
    "--clients",
    "2",
    "--jobs",
    "1",
    "--device",
    "cpu",
    "--precision",
    "fp32",
]
COMMON += ["--seeds", "2", "--stability-seeds", "0", "--study", "s"]


def tuned(out: Path, *more: str) -> int:
    return tune.main([*COMMON, "--out", str(out), *more])


def table(out: Path, study: str = "s") -> pd.DataFrame:
    return pd.read_csv(out / "tuning" / study / "trials.csv")


def params(out: Path) -> list[tuple[float, float]]:
    """Of the trials that count, in order."""
    rows = table(out)
    return list(
        rows[~rows["reason"].astype(str).str.contains("tried again")][
            ["param.a", "param.b"]
        ].itertuples(False)
    )


def plan(out: Path, *more: str):
    return plan_of(parse([*COMMON, "--out", str(out), *more]))[0]
