"""Cell: method x task x configuration, the unit of work that leaves one record; METHODS, and a cell's key."""

import dataclasses
import hashlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_type_hints

from baselines import BASELINES
from mosaic import method as mosaic
from mosaic.fl.cache import canonical
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.task import Task

FLOOR, CEILING = "local", "centralised"

METHODS: dict[str, ModuleType] = {
    **{name: method for name, method in BASELINES.items() if name != CEILING},
    "mosaic": mosaic,
    CEILING: BASELINES[CEILING],
}
"""Every method by its name, in the order of the tables."""


@dataclass(frozen=True)
class Cell:
    """One line of a comparison. ``label`` is its name in tables; only method, task and config determine its numbers."""

    suite: str
    scale: str
    label: str
    method: str
    task: Task
    config: Any
    widths: str  # full | mixed | the list
    client_work: float
    server_work: float
    fidelity_n: int

    @property
    def key(self) -> str:
        """16 hex digits of the hash of what determines the numbers: no path, no device, no number of workers."""
        identity = canonical([self.method, self.task, self.config, self.fidelity_n])
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        task = self.task
        return f"{self.label} {task.dataset} omega={task.omega:g} N={task.n_clients} {self.widths} seed={task.seed}"


def known_method(name: str) -> ModuleType:
    if name not in METHODS:
        raise did_you_mean("method", name, METHODS)
    return METHODS[name]


def configure(method: str, work: dict[str, float], settings: dict[str, Any]) -> Any:
    """A method's Config: its defaults, fields that count steps times their side's factor, then ``settings`` as given.

    ``work`` has the factor of "client" and of "server" work, the same for all methods of a scale.
    """
    config = known_method(method).Config
    scaled = {
        f.name: max(1, round(f.default * work[f.metadata["work"]]))
        for f in dataclasses.fields(config)
        if "work" in f.metadata
    }
    return config(**scaled | {k: checked(f"{method}.{k}", config, k, v) for k, v in settings.items()})


def checked(what: str, config: type, name: str, value: Any) -> Any:
    """``value`` as the type of the field ``name`` of a frozen config; text from a command line is read."""
    fields = {f.name: f for f in dataclasses.fields(config)}
    if name not in fields:
        raise (
            did_you_mean(f"setting of {what.split('.')[0]}", name, fields)
            if fields
            else InputError(f"{what.split('.')[0]} has no settings; {name!r} was given.")
        )
    possible = fields[name].metadata.get("choices")
    if possible and value not in possible:
        raise InputError(f"{what} is {value!r}; possible: {', '.join(possible)}.")
    wanted = get_type_hints(config)[name]
    if wanted == int | None:
        wanted = int
    if wanted in (int, float, str):
        try:
            if wanted is int and float(value) != int(float(value)):
                raise ValueError
            return wanted(float(value)) if wanted is int else wanted(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{what} is {value!r}; it must be of type {wanted.__name__}.") from None
    return value
