"""A method with a known optimum that costs nothing, and helpers that run the tuner on it."""

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
from benchmarks.tuning.make_plan import plan_of, with_checked_data
from benchmarks.tuning.options import parse
from benchmarks.tuning.plan import Plan
from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.data import loading
from mosaic.fl.rng import stream
from mosaic.fl.task import Task


@dataclass(frozen=True)
class Config:
    """The oracle is best at a = 3, b = 10 and kind "good"."""

    a: float = 0.0
    b: float = 1.0
    kind: str = choice("good", "bad")
    nap: float = 0.0  # seconds that a cell takes
    breaks_above: float = math.inf  # values of a above this are an error
    peeks: bool = False  # whether it opens the test set
    draw: int = 0  # decides by chance which images are classified correctly


def logits_of(task: Task, config: Config, images: torch.Tensor) -> torch.Tensor:
    """Logits (B, 10), correct for a share of the images that depends on the settings."""
    # The oracle recognises each image as one of the digits.
    digits = load_digits()
    known = torch.from_numpy(np.round(digits.images * (255 / 16))).float().flatten(1)
    pixels = ((images + 1) * 127.5).flatten(1).round()
    which = torch.cdist(pixels, known).argmin(1)

    # All are correct at the optimum, and fewer the further the settings are from it.
    share = 1 - ((config.a - 3) / 10) ** 2 - (math.log10(config.b) - 1) ** 2 / 10
    if config.kind == "bad":
        share -= 0.3
    luck = torch.rand(len(known), generator=stream(task.seed, "oracle", config.draw))
    labels = torch.from_numpy(digits.target)[which]
    predicted = torch.where(luck[which] < share, labels, (labels + 1) % 10)
    return torch.nn.functional.one_hot(predicted, 10).float()


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Yield one snapshot without any training."""
    time.sleep(config.nap)
    if config.a > config.breaks_above:
        raise FloatingPointError("a is too large")
    if config.peeks:
        loading.load(task.dataset, "test")
    yield Snapshot(task.rounds, functools.partial(logits_of, task, config))


ORACLE = SimpleNamespace(
    PAPER="",
    PROTOCOL="none",
    NEEDS=(),
    __doc__="Oracle: it recognises all digits.",
    Config=Config,
    SPACE={"a": (-5.0, 5.0), "b": (0.1, 100.0)},
    run=run,
)
METHODS_BEFORE = dict(METHODS)

ON_CPU = ["--jobs=1", "--device=cpu", "--precision=fp32"]
COMMON = [
    "--method=oracle",
    "--clients=2",
    "--seeds=2",
    "--stability-seeds=0",
    "--study=s",
    *ON_CPU,
]


def tuned(out: Path, *more: str) -> int:
    """Run the command on the oracle; its exit code."""
    return tune.main([*COMMON, "--out", str(out), *more])


def study_folder(out: Path, study: str = "s") -> Path:
    return out / "tuning" / study


def table(out: Path, study: str = "s") -> pd.DataFrame:
    """The study's trials.csv."""
    return pd.read_csv(study_folder(out, study) / "trials.csv")


def params(out: Path) -> list[tuple[float, float]]:
    """The settings (a, b) of the trials that count, in order."""
    rows = table(out)
    tried_again = rows["reason"].astype(str).str.contains("tried again")
    return list(rows.loc[~tried_again, ["param.a", "param.b"]].itertuples(index=False))


def plan(out: Path, *more: str) -> Plan:
    """The plan of the command with these options."""
    made, _ = plan_of(parse([*COMMON, "--out", str(out), *more]))
    return with_checked_data(made)
