"""Plan: what a study is and how it is run, and its cells on tuning and on reporting seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.metrics.columns import objectives
from benchmarks.metrics.metric import Direction
from benchmarks.planning.axes import seeds_of
from benchmarks.planning.cell import Cell
from benchmarks.planning.data import Split, with_data
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.scales import TUNING_SEEDS_FROM, check_reporting
from benchmarks.planning.suite import Entry, Suite
from benchmarks.running.schedule import waves
from benchmarks.running.session import Session
from benchmarks.tuning.distributions import Space, another, text_of, within
from mosaic.fl.data.datasets import display_name
from mosaic.fl.errors import InputError, did_you_mean

OBJECTIVES: dict[str, Direction] = objectives()
"""What can be tuned for, with the direction that is better.

Each is measured in the last round. Accuracy is the accuracy on validation images.
"""

FIDELITY = {"fid_domain", "kid_domain", "is_domain"}
DEFAULT = "default"


@dataclass(frozen=True)
class Plan:
    """One study.

    ``identity`` has everything that its numbers depend on. The other fields (number of trials,
    sampler, storage, session) may change when the study is continued.
    """

    study: str  # its name, and the name of its folder
    method: str
    dataset: str
    omegas: tuple[float, ...]
    n_clients: int
    widths: str
    scale: str
    space: Space
    settings: dict[str, dict[str, Any]]  # of --set, by method and "task"
    objectives: tuple[str, ...]
    seeds: tuple[int, ...]  # tuning seeds
    precision: str
    threads: int
    trials: int  # in all, by every process that works on the study
    sampler: str
    pruner: str
    points: int  # grid points per range
    hold: int  # consecutive trials that share the costly settings
    seed: int  # the sampler's
    storage: str | None  # an Optuna URL; None: a journal file in the folder
    session: Session
    data: dict[Split, str] = field(default_factory=dict)  # fingerprints of training images
    from_papers: bool = False  # start from the papers' values, not from the scale's tuned ones
    entry: str = ""  # the label of the suite's entry that is tuned by itself; empty: the method

    @property
    def name(self) -> str:
        """What is tuned: the method's name, or the entry's label."""
        return self.entry or self.method

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.session.folder(f"tuning/{self.study}")

    @property
    def directions(self) -> list[Direction]:
        """ "maximize" or "minimize" per objective, as Optuna takes it."""
        return [OBJECTIVES[name] for name in self.objectives]

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the study's numbers depend on.

        It is stored in the study, so keys and texts must not change. A study of the same name
        and another identity is another study.
        """
        identity: dict[str, Any] = {
            "method": self.method,
            "dataset": self.dataset,
            "omega": self.omegas[0] if len(self.omegas) == 1 else _joined(self.omegas),
            "n_clients": self.n_clients,
            "widths": self.widths,
            "scale": self.scale,
            "precision": self.precision,
            "threads": self.threads,
            "pruner": self.pruner,
            "objective": ",".join(self.objectives),
            "seeds": ",".join(map(str, self.seeds)),
        }
        if self.from_papers:  # one of many studies, all of which have the same points
            identity["points"] = f"{self.sampler}, --hold {self.hold}, --seed {self.seed}"

        # Settings as the cells have them: text of the command line has become numbers there.
        cell = self.cells({})[0]
        for key in self.settings.get("task", {}):
            identity[f"--set task.{key}"] = getattr(cell.task, key)
        for key in self.settings.get(self.method, {}):
            identity[f"--set {self.method}.{key}"] = getattr(cell.config, key)
        for key in cell.tuned_settings:
            if key not in self.space:
                identity[f"tuned {self.method}.{key}"] = getattr(cell.config, key)
        for key, distribution in self.space.items():
            identity[f"--space {key}"] = text_of(distribution)
        for (dataset, _), fingerprint in self.data.items():
            identity[f"data of {dataset}"] = fingerprint
        return identity

    @property
    def parts(self) -> dict[str, str]:
        """What the measurements of a trial's cells are called, in their order: by the end of a
        column's name, the name in the study.
        """
        if len(self.omegas) == 1:
            return {f"{seed}": f"seed {seed}" for seed in self.seeds}
        pairs = [(seed, f"{omega:g}") for seed in self.seeds for omega in self.omegas]
        return {f"{seed}.{omega}": f"seed {seed}, omega {omega}" for seed, omega in pairs}

    def cells(
        self, params: dict[str, Any], seeds: Sequence[int] | None = None, label: str = "trial"
    ) -> list[Cell]:
        """The cells of one setting, one per seed and omega.

        Args:
            params: Values of settings in the space; the others are those of --set or the default.
            seeds: Seeds of the tasks. None: the tuning seeds.
            label: Name of the cells in tables.

        Raises:
            InputError: If the method has no cell here, because it would equal FedAvg.
        """
        fixed = self.settings.get(self.method, {})
        settings = {**self.settings, self.method: {**fixed, **params}}
        suite = Suite(
            question="",
            omega=list(self.omegas),
            clients=[self.n_clients],
            widths=[self.widths],
            method=[Entry(name=self.method, label=label)],
        )
        cells = expand_cells(
            f"tuning/{self.study}/stability",  # the folder of the records, if they are written
            suite,
            self.scale,
            datasets=[self.dataset],
            seeds=list(seeds or self.seeds),
            settings=settings,
            precision=self.precision,
            threads=self.threads,
            dataset_labels={self.dataset: display_name(self.dataset)},
            download=True,
            from_papers=self.from_papers,
        )
        if not cells:
            raise InputError(
                f"{self.method} at full width is FedAvg; give --widths mixed, "
                "or tune another method."
            )
        return with_data(cells, self.data)

    def default(self) -> dict[str, Any]:
        """The values that ``benchmarks.run`` uses at this scale for the settings in the space."""
        config = self.cells({})[0].config
        return {key: getattr(config, key) for key in self.space}

    def first(self) -> dict[str, Any]:
        """The values of trial 0: the default, moved into the space where it is outside."""
        return within(self.space, self.default())

    @cached_property
    def costly(self) -> tuple[str, ...]:
        """Tuned settings that invalidate cached stages (for example those of the generators).

        Trials with the same values of these settings share all stages. Empty for a method that
        does not announce its stages, and where every setting is costly, because then trials that
        share them would be equal.
        """
        first = self.first()
        stages = self._stages(first)
        costly = []
        for key, distribution in self.space.items():
            changed = first | {key: another(distribution, first[key])}
            if self._stages(changed) != stages:
                costly.append(key)
        return tuple(costly) if len(costly) < len(self.space) else ()

    def _stages(self, params: dict[str, Any]) -> set[str]:
        """Keys of the stages that a trial with these values needs, on the first seed."""
        cell = self.cells(params)[0]
        return {stage.key for wave in waves(cell) for stage in wave}


def _joined(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def tuning_seeds(given: str) -> tuple[int, ...]:
    """The seeds of --seeds.

    Args:
        given: "2" for the first two tuning seeds, or a list such as "1000,1004".

    Raises:
        InputError: For a reporting seed.
    """
    seeds = seeds_of(given)
    if "," not in given:
        return tuple(TUNING_SEEDS_FROM + seed for seed in seeds)

    reporting = [seed for seed in seeds if seed < TUNING_SEEDS_FROM]
    if reporting:
        raise InputError(
            f"seed {reporting[0]} is a reporting seed, which tuning must not see; "
            f"tuning seeds begin at {TUNING_SEEDS_FROM}: give how many (2) "
            f"or which ({TUNING_SEEDS_FROM},{TUNING_SEEDS_FROM + 1})."
        )
    return tuple(seeds)


def reporting_seeds(given: str) -> list[int]:
    """The seeds of --stability-seeds: "3" is 0, 1, 2, and "0" none.

    Raises:
        InputError: For a tuning seed.
    """
    if given == "0":
        return []
    seeds = seeds_of(given)
    check_reporting(seeds)
    return list(seeds)


def objectives_of(given: str) -> tuple[str, ...]:
    """The objectives of --objective, each once.

    Args:
        given: Names in OBJECTIVES, separated by commas.

    Raises:
        InputError: For an unknown name, or if there is none.
    """
    parts = [part.strip() for part in given.split(",")]
    names = tuple(dict.fromkeys(part for part in parts if part))
    if not names:
        raise InputError(f"--objective is empty; possible, also several: {', '.join(OBJECTIVES)}.")
    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        raise did_you_mean("objective", unknown[0], OBJECTIVES)
    return names
