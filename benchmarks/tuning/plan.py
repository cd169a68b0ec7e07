"""Plan: what a study is and how it is run; its cells on tuning seeds, and on reporting ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.planning.axes import seeds_of
from benchmarks.planning.cell import Cell
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.scales import TUNING_SEEDS_FROM, check_reporting
from benchmarks.planning.suite import Entry, Suite
from benchmarks.running.schedule import waves
from benchmarks.running.session import Session
from benchmarks.tuning.space import Space, another, text_of, within
from mosaic.fl.errors import InputError, did_you_mean

OBJECTIVES = {
    "accuracy": "maximize",
    "fid_domain": "minimize",
    "kid_domain": "minimize",
    "is_domain": "maximize",
    "upload_bytes": "minimize",
    "download_bytes": "minimize",
    "flops": "minimize",
    "seconds": "minimize",
}
"""What can be tuned for, each the last round's, and its better direction. Accuracy is that on validation images."""

FIDELITY = {"fid_domain", "kid_domain", "is_domain"}
DEFAULT = "default"
SAMPLERS = ("tpe", "random", "cmaes", "gp", "grid")
PRUNERS = ("wilcoxon", "median", "none")


@dataclass(frozen=True)
class Plan:
    """One study. ``identity`` is what its numbers depend on; the other facts may change when it goes on."""

    study: str
    method: str
    dataset: str
    omega: float
    n_clients: int
    widths: str
    scale: str
    space: Space
    settings: dict[str, dict[str, Any]]  # of --set, by method and "task"
    objectives: tuple[str, ...]
    seeds: tuple[int, ...]
    precision: str
    threads: int
    trials: int  # in all, whoever ran them
    sampler: str
    pruner: str
    points: int  # of a range, for the grid
    hold: int  # trials that share one draw of the costly settings
    seed: int  # the sampler's
    storage: str | None
    session: Session

    @property
    def folder(self) -> Path:
        return self.session.folder(f"tuning/{self.study}")

    @property
    def directions(self) -> list[str]:
        return [OBJECTIVES[name] for name in self.objectives]

    @property
    def identity(self) -> dict[str, Any]:
        cell = self.cells({})[0]
        facts = (
            "method",
            "dataset",
            "omega",
            "n_clients",
            "widths",
            "scale",
            "precision",
            "threads",
            "pruner",
        )
        return {
            **{fact: getattr(self, fact) for fact in facts},
            "objective": ",".join(self.objectives),
            "seeds": ",".join(map(str, self.seeds)),
            **{
                f"--set task.{key}": getattr(cell.task, key)
                for key in self.settings.get("task", {})
            },
            **{
                f"--set {self.method}.{key}": getattr(cell.config, key)
                for key in self.settings.get(self.method, {})
            },
            **{f"--space {key}": text_of(distribution) for key, distribution in self.space.items()},
        }

    def cells(
        self, params: dict[str, Any], seeds: Sequence[int] | None = None, label: str = "trial"
    ) -> list[Cell]:
        """One cell a seed, by default a tuning seed, with the method's settings and ``params`` on top of them."""
        settings = {**self.settings, self.method: {**self.settings.get(self.method, {}), **params}}
        entry = Entry(name=self.method, label=label)
        suite = Suite(
            question="",
            omega=[self.omega],
            clients=[self.n_clients],
            widths=[self.widths],
            method=[entry],
        )
        cells = expand_cells(
            f"tuning/{self.study}/stability",
            suite,
            self.scale,
            datasets=[self.dataset],
            seeds=list(seeds or self.seeds),
            settings=settings,
            precision=self.precision,
            threads=self.threads,
        )
        if not cells:
            raise InputError(
                f"{self.method} at full width is FedAvg; give --widths mixed, or tune another method."
            )
        return cells

    def default(self) -> dict[str, Any]:
        """The values that ``benchmarks.run`` uses at this scale, of the settings in the space."""
        config = self.cells({})[0].config
        return {key: getattr(config, key) for key in self.space}

    @cached_property
    def costly(self) -> tuple[str, ...]:
        """The settings in the space that change what the method asks of the store, the clients' generators say.

        Trials that share them share all of it. Empty for a method that does not say what it will ask for, and where
        every setting changes it: then there is nothing to share.
        """

        def asked(params: dict[str, Any]) -> set[str]:
            return {stage.key for wave in waves(self.cells(params)[0]) for stage in wave}

        first = self.first()
        before = asked(first)
        costly = tuple(
            k for k, d in self.space.items() if asked(first | {k: another(d, first[k])}) != before
        )
        return costly if len(costly) < len(self.space) else ()

    def first(self) -> dict[str, Any]:
        """Trial 0: the default, drawn into the ranges where it lies outside."""
        return within(self.space, self.default())


def tuning_seeds(given: str) -> tuple[int, ...]:
    """ "2": the first two tuning seeds; "1000,1004": these. InputError for a reporting seed."""
    seeds = seeds_of(given)
    if "," not in given:
        return tuple(TUNING_SEEDS_FROM + seed for seed in seeds)
    for seed in seeds:
        if seed < TUNING_SEEDS_FROM:
            raise InputError(
                f"seed {seed} is a reporting seed, which tuning must not see; tuning seeds begin at "
                f"{TUNING_SEEDS_FROM}: give how many (2) or which ({TUNING_SEEDS_FROM},{TUNING_SEEDS_FROM + 1})."
            )
    return tuple(seeds)


def reporting_seeds(given: str) -> list[int]:
    """Those of ``benchmarks.run``: "3" is 0, 1, 2, and "0" none. InputError for a tuning seed."""
    seeds = [] if given == "0" else seeds_of(given)
    check_reporting(seeds)
    return seeds


def objectives_of(given: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))
    for name in names:
        if name not in OBJECTIVES:
            raise did_you_mean("objective", name, OBJECTIVES)
    if not names:
        raise InputError(f"--objective is empty; possible, also several: {', '.join(OBJECTIVES)}.")
    return names
