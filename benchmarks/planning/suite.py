"""A suite is one question as a TOML file; this reads it and spells out its cells."""

import itertools
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.planning.cell import METHODS, Cell, checked, configure, known_method
from benchmarks.planning.scales import MIXED, SCALES, Scale
from mosaic.fl.data.readers import check_name
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.models.cnn import scaled
from mosaic.fl.task import Task, capacity_widths
from mosaic.fl.training.sgd import spec_of

FOLDER = Path(__file__).parents[1] / "suites"
GRID = {"dataset", "omega", "n_clients", "widths", "seed", "precision", "threads"}  # facts with a key of their own
SUB_MODELS = {name: METHODS[name].Config() for name in ("heterofl", "fedrolex")}
"""Methods that by default are FedAvg exactly at full width, where a suite does not run it twice."""


class Entry(BaseModel):
    """One line of a suite's comparison: a method, under a label, with settings, at some of the suite's widths.

    With a ``grid``, values by setting, it is a line for each combination of them.
    """

    model_config = ConfigDict(extra="forbid")
    name: str
    label: str | None = None
    set: dict[str, Any] = {}
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    widths: list[str] | None = None


class Suite(BaseModel):
    """A suite's file. What it leaves out the scale says."""

    model_config = ConfigDict(extra="forbid")
    question: str
    omega: list[float]
    clients: list[int]
    widths: list[str] = ["full"]
    method: list[Entry]
    datasets: list[str] | None = None
    seeds: list[int] | int | None = None
    task: dict[str, Any] = {}


def suite_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_suite(name: str) -> tuple[str, Suite]:
    """A suite by the name of one of ours, or by the path of a TOML file; its name and content."""
    path = FOLDER / f"{name}.toml"
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"there is no suite file {name!r}; give an existing TOML file or one of: {_names()}.")
    elif not path.is_file():
        raise did_you_mean("suite", name, suite_names())
    try:
        with path.open("rb") as file:
            return path.stem, Suite.model_validate(tomllib.load(file))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(_explain(e) for e in error.errors())}.") from None


def _names() -> str:
    return ", ".join(suite_names())


def _explain(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = Entry.model_fields if error["loc"][0] == "method" and len(error["loc"]) > 2 else Suite.model_fields
        return f"{where}: {str(did_you_mean('key', error['loc'][-1], known)).rstrip('.')}"
    return f"{where}: {error['msg'].lower()}" + (f", not {error['input']!r}" if error["type"] != "missing" else "")


def known_scale(name: str) -> Scale:
    if name not in SCALES:
        raise did_you_mean("scale", name, SCALES)
    return SCALES[name]


def seeds_of(given: str | int | list[int]) -> list[int]:
    """ "3" or 3: the seeds 0, 1, 2; "0,4": these."""
    if isinstance(given, list):
        return given
    parts = str(given).split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise InputError(f"seeds are {given!r}; give how many (3) or which (0,1,2), as whole numbers.") from None
    if len(numbers) > 1:
        seeds = numbers
    elif numbers[0] < 1:
        raise InputError(f"{numbers[0]} seeds; give at least 1.")
    else:
        seeds = list(range(numbers[0]))
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds are {given!r}; they must be different and not negative.")
    return seeds


def widths_of(name: str, n_clients: int) -> tuple[float, ...]:
    """The clients' widths: "full", "mixed", "rho=5" (and ",sigma=4"), or a list "1,0.5" spread over N clients."""
    if name == "full":
        return ()
    if name == "mixed":
        return capacity_widths(n_clients, **MIXED)
    try:
        if name.startswith("rho="):
            law = {"sigma": 4.0} | {k: float(v) for k, v in (part.split("=") for part in name.split(","))}
            widths = capacity_widths(n_clients, **law)
            return () if all(width == 1 for width in widths) else widths
        listed = [float(part) for part in name.split(",")]
    except (ValueError, TypeError, OverflowError):
        raise InputError(
            f"widths are {name!r}; possible: full, mixed, rho=5, rho=5,sigma=4, or a list such as 1,0.5,0.25."
        ) from None
    for width in listed:
        if not 0 < width <= 1:
            raise InputError(
                f"width {width:g} in {name!r} is outside (0, 1]: it is a sub-model's share of the channels."
            )
    widths = tuple(listed[k * len(listed) // n_clients] for k in range(n_clients))
    return () if all(width == 1 for width in widths) else widths


def batch_norm_of(widths: tuple[float, ...]) -> str:
    """BatchNorm's policy at test where nobody chose one, the same for all methods of a comparison.

    Where widths differ it is the batch's own statistics, as FedRolex and HeteroFL test: the running ones of narrow
    sub-models are not the full model's.
    """
    return "batch" if widths else "average"


def spell_out(
    name: str,
    suite: Suite,
    scale_name: str,
    *,
    datasets: list[str] | None = None,
    omega: list[float] | None = None,
    clients: list[int] | None = None,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    widths: list[str] | None = None,
    settings: dict[str, dict[str, Any]] | None = None,
    precision: str = "fp32",
    threads: int = 1,
) -> list[Cell]:
    """All cells of a suite at a scale; what the command gives takes the place of what the suite and the scale say.

    ``settings`` are by method or label, and by "task". Cells are ordered so that those of one task follow one another.
    """
    scale = known_scale(scale_name)
    settings = settings or {}
    entries = _entries(suite, methods, settings)
    seeds = seeds or seeds_of(suite.seeds or scale.seeds)
    facts = {**scale.task, **suite.task, **settings.get("task", {})}
    for fact in GRID & facts.keys():
        raise InputError(f"task.{fact} is no setting: give the suite's or the command's own key for it.")
    facts = {k: checked(f"task.{k}", Task, k, v) for k, v in facts.items()}
    cells: dict[str, Cell] = {}
    for dataset in datasets or suite.datasets or scale.datasets:
        check_name(dataset)
        for seed in seeds:
            for n in clients or suite.clients:
                for omega_ in omega or suite.omega:
                    for width in widths or suite.widths:
                        r = widths_of(width, n)
                        where = dict(dataset=dataset, omega=float(omega_), n_clients=n, widths=r, seed=seed)
                        how = dict(precision=precision, threads=threads, batch_norm=batch_norm_of(r))
                        task = Task(**{**where, **how, **facts})
                        scaled(spec_of(task, min(r, default=1.0)), "c1")  # an InputError if no network is so narrow
                        for entry in entries:
                            if entry.widths is None or width in entry.widths or widths:
                                cell = _cell(name, scale_name, scale, entry, task, width, settings)
                                if task.full_width and SUB_MODELS.get(entry.name) == cell.config:
                                    continue
                                if cell.key in cells:
                                    raise InputError(f"{cell.label} and {cells[cell.key].label} are the same cell.")
                                cells[cell.key] = cell
    return list(cells.values())


def _cell(suite: str, scale_name: str, scale: Scale, entry: Entry, task: Task, widths: str, settings: dict) -> Cell:
    label = entry.label or entry.name
    given = {
        **scale.methods.get(entry.name, {}),
        **entry.set,
        **settings.get(entry.name, {}),
        **settings.get(label, {}),
    }
    return Cell(
        suite=suite,
        scale=scale_name,
        label=label,
        method=entry.name,
        task=task,
        config=configure(entry.name, {"client": scale.client_work, "server": scale.server_work}, given),
        widths=widths,
        client_work=scale.client_work,
        server_work=scale.server_work,
        fidelity_n=scale.fidelity_n,
    )


def _entries(suite: Suite, methods: list[str] | None, settings: dict[str, dict]) -> list[Entry]:
    """The suite's entries that were asked for; a method that the suite does not have joins with its defaults."""
    for entry in suite.method:
        known_method(entry.name)
    points = {entry.label or entry.name: _points(entry) for entry in suite.method if entry.grid}
    entries = [point for entry in suite.method for point in _points(entry)]
    by_label = {entry.label or entry.name: entry for entry in entries}
    if len(by_label) < len(entries):
        raise InputError("two methods of the suite have one label; give each entry a label of its own.")
    for name in settings:
        if name != "task" and name not in METHODS and name not in by_label:
            raise did_you_mean("method", name, [*METHODS, *by_label, "task"])
        if name != "task":  # a wrong setting is an error, also of a method that is not run this time
            configure(by_label[name].name if name in by_label else name, {"client": 1, "server": 1}, settings[name])
    if methods is None:
        return list(by_label.values())
    for name in methods:
        if name not in by_label and name not in METHODS and name not in points:
            raise did_you_mean("method", name, [*METHODS, *by_label])
    return [entry for name in methods for entry in points.get(name) or [by_label.get(name) or Entry(name=name)]]


def _points(entry: Entry) -> list[Entry]:
    """The entry; one with a grid as an entry for each of its points, labelled "mosaic lambda_e=0.5 lambda_d=2.0"."""
    if not entry.grid:
        return [entry]
    grid = [dict(zip(entry.grid, values, strict=True)) for values in itertools.product(*entry.grid.values())]
    named = {" ".join([entry.label or entry.name, *(f"{k}={v}" for k, v in point.items())]): point for point in grid}
    if len(named) < len(grid):
        raise InputError(f"the grid of {entry.label or entry.name} names a value twice.")
    return [
        entry.model_copy(update={"label": label, "set": entry.set | point, "grid": {}})
        for label, point in named.items()
    ]


def check_omega(text: str) -> float:
    """An omega from the command line: a number in [1e-4, inf]."""
    try:
        omega = float(text)
    except ValueError:
        omega = math.nan
    if not omega >= 1e-4:
        raise InputError(f"omega is {text!r}; it is a number of at least 0.0001, or inf.")
    return omega
