"""The settings that were tuned for a scale and a data set, by one rule for all methods.

``benchmarks/tuned/<scale>/<dataset>.toml`` is written by ``python -m benchmarks.tune --all``. Its
values come after those of the scale, and before those of a suite's entry and of the command. Where
there is no such file, settings have the papers' values.
"""

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.planning.suite import Entry
from benchmarks.planning.toml_files import read_toml
from mosaic.fl.errors import InputError

SHARED = {"cvae_lr": "fedcvae"}
"""Settings of conditional VAEs, and the method whose tuned value all others have that train them:
the same VAEs draw for all.
"""

FOLDER = Path(__file__).parents[1] / "tuned"


@dataclass(frozen=True)
class Tuned:
    """What was tuned for a scale and a data set.

    Attributes:
        trials: the number of trials of each method; 0 if nothing was tuned.
        settings: the best values by setting, by method, and by the label of each entry that was
            tuned by itself.
        study: how they were found, see ``benchmarks/tuning/all_report.py``.
        validation: by the same names, the mean accuracy on validation images with the ``default``
            settings, in [0, 1], with the ``best``, and the ``trial`` that has these.
    """

    trials: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, dict[str, Any]] = field(default_factory=dict)

    def values_for(self, config: type, name: str, own: dict[str, Any]) -> dict[str, Any]:
        """The tuned values of an entry of a suite.

        Args:
            config: the method's Config.
            name: the name of what was tuned, see :meth:`name_of`.
            own: settings that the entry or the command gives; they keep their values.
        """
        values = dict(self.settings.get(name, {}))
        chosen = {**values, **own}
        if chosen.get("generator", getattr(config, "generator", "")) == "cvae":
            for key, source in SHARED.items():
                shared = self.settings.get(source, {})
                if key in shared:
                    values.setdefault(key, shared[key])
        return {key: value for key, value in values.items() if key not in own}

    def name_of(self, entry: Entry) -> str:
        """Under which name the values of an entry are: its label, if it was tuned by itself."""
        if entry.tune and entry.title in self.settings:
            return entry.title
        return entry.name


NOT_TUNED = Tuned()


def tuned_file(scale: str, dataset: str) -> Path | None:
    """The path of the file; None for a data set from outside, whose name is no file's name."""
    if not re.fullmatch(r"\w+", dataset):
        return None
    return FOLDER / scale / f"{dataset}.toml"


def read_tuned(scale: str, dataset: str) -> Tuned:
    """What was tuned for a scale and a data set; NOT_TUNED if there is no file.

    Raises:
        InputError: the file is damaged.
    """
    path = tuned_file(scale, dataset)
    return NOT_TUNED if path is None else _read(path)


@functools.cache
def _read(path: Path) -> Tuned:
    if not path.is_file():
        return NOT_TUNED
    advice = "write it again with python -m benchmarks.tune --all."
    try:
        tables = read_toml(path)
    except InputError as error:
        raise InputError(f"{error} Or {advice}") from None
    try:
        return Tuned(tables["study"]["trials"], **tables)
    except (KeyError, TypeError):
        raise InputError(
            f"{path} has not the tables study, settings and validation; {advice}"
        ) from None
