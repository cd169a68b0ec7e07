"""A suite is one question, written as a TOML file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PrivateAttr,
    ValidationError,
)

from benchmarks.planning.axes import check_clients, check_omega, check_widths, seeds_of
from benchmarks.planning.scales import Budget, Scale, known_scale
from benchmarks.planning.toml_files import read_toml
from mosaic.fl.errors import InputError, did_you_mean

FOLDER = Path(__file__).parents[1] / "suites"

PageName = Literal[
    "communication",
    "variance",
    "generator_budget",
    "generator_check",
    "importance",
    "paired",
    "growth",
]
"""The pages that a suite may ask for beside the standard ones."""

T = TypeVar("T")
NonEmpty = Annotated[list[T], Field(min_length=1)]


class Entry(BaseModel):
    """One line of a suite's comparison: a method, under a label, with settings.

    Attributes:
        name: the method's name, or the path of its file.
        label: its name in tables; by default the method's.
        set: settings by name.
        grid: lists of values by setting; the entry stands for one line per combination of them.
        widths: those of the suite's widths at which it is run; by default all.
        tune: settings that are tuned for this entry by itself (``benchmarks.tune --all``); by
            default it has the values that were tuned for its method.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    label: str | None = None
    set: dict[str, Any] = {}
    grid: dict[str, NonEmpty[Any]] = {}
    widths: NonEmpty[str] | None = None
    tune: list[str] = []
    _grid_of: str = PrivateAttr("")
    _grid_settings: tuple[str, ...] = PrivateAttr(())

    def at_point(self, label: str, point: dict[str, Any]) -> "Entry":
        """The entry at one point of its grid, which remembers the grid that it is of."""
        entry = self.model_copy(update={"label": label, "set": self.set | point, "grid": {}})
        entry._grid_of = self.title
        entry._grid_settings = tuple(point)
        return entry

    @property
    def grid_of(self) -> str:
        """The label of the entry whose grid this is a point of; empty for an entry without one."""
        return self._grid_of

    @property
    def grid_settings(self) -> tuple[str, ...]:
        """The settings of that grid."""
        return self._grid_settings

    @property
    def title(self) -> str:
        """The label in tables."""
        return self.label or self.name


class OwnBudget(BaseModel):
    """A suite's equal budget, in multiples of FedAvg's local training: see ``scales.Budget``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    client: PositiveFloat
    server: PositiveFloat


class OwnScale(BaseModel):
    """What a suite has of its own at one scale.

    Attributes:
        task: settings of the task; they take the place of the suite's.
        budget: takes the place of the scale's.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    task: dict[str, Any] = {}
    budget: OwnBudget | None = None


def check_scale(name: str) -> str:
    """A scale's name.

    Raises:
        InputError: there is none of that name.
    """
    known_scale(name)
    return name


class Suite(BaseModel):
    """A suite's file. The scale decides what the file leaves out.

    Attributes:
        question: what the suite asks, in one sentence.
        omega: Dirichlet concentrations.
        clients: numbers of clients.
        widths: the clients' widths, as ``--widths`` takes them.
        methods: "all", or names and paths of methods with their default settings.
        method: further entries, with labels and settings of their own.
        datasets: names of data sets.
        seeds: a count or a list.
        task: settings of the task.
        scale: what is different at a scale, by its name.
        pages: pages of the report beside the standard ones.
        reference: the label that all others are compared with.
        tuned: whether the scale's tuned values are used; else all methods have their papers'.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    question: str
    omega: NonEmpty[Annotated[float, BeforeValidator(check_omega)]]
    clients: NonEmpty[Annotated[int, BeforeValidator(check_clients)]]
    widths: NonEmpty[Annotated[str, BeforeValidator(check_widths)]] = ["full"]
    methods: list[str] | Literal["all"] = []
    method: list[Entry] = []
    datasets: NonEmpty[str] | None = None
    seeds: Annotated[list[int] | None, BeforeValidator(seeds_of)] = None
    task: dict[str, Any] = {}
    scale: dict[Annotated[str, BeforeValidator(check_scale)], OwnScale] = {}
    pages: list[PageName] = []
    reference: str = "mosaic"
    tuned: bool = True


def at_scale(suite: Suite, scale_name: str, scale: Scale) -> tuple[Suite, Scale]:
    """A suite and a scale, each with what the suite has of its own at that scale."""
    own = suite.scale.get(scale_name)
    if own is None:
        return suite, scale
    if own.budget is not None:
        budget = Budget(own.budget.client, own.budget.server)
        scale = dataclasses.replace(scale, budget=budget)
    return suite.model_copy(update={"task": suite.task | own.task}), scale


def suite_names() -> list[str]:
    """The names of this package's suites."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_suite(name: str) -> tuple[str, Suite]:
    """A suite by the name of one of this package's, or by the path of a TOML file.

    Returns:
        The suite's name (a file's name without ending) and its content.

    Raises:
        InputError: if there is no such suite, or if its file is not a suite.
    """
    path = suite_path(name)
    try:
        suite = Suite.model_validate(read_toml(path))
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise InputError(f"{path}: {problems}.") from None

    if not suite.methods and not suite.method:
        raise InputError(
            f'{path} names no method; write methods = "all", methods = ["fedavg", "mosaic"] '
            "or [[method]] tables."
        )
    return path.stem, suite


def suite_path(name: str) -> Path:
    """The file of a suite.

    Raises:
        InputError: if there is none.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            known = ", ".join(suite_names())
            raise InputError(
                f"there is no suite file {name!r}; give an existing TOML file or one of: {known}."
            )
        return path

    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise did_you_mean("suite", name, suite_names())
    return path


def _explain(problem: Any) -> str:
    """One of pydantic's problems in plain words."""
    location = problem["loc"]
    where = ".".join(str(part) for part in location)

    if problem["type"] == "extra_forbidden":
        error = did_you_mean("key", str(location[-1]), _keys_beside(location))
        return f"{where}: {str(error).rstrip('.')}"

    if location[0] == "methods":
        return f'methods: write "all" or a list of names, not {problem["input"]!r}'
    if problem["type"] == "value_error":
        return f"{where}: {str(problem['ctx']['error']).rstrip('.')}"
    if problem["type"] == "too_short":
        return f"{where} is an empty list; give at least one value"
    if problem["type"] == "missing":
        return f"{where}: {problem['msg'].lower()}"
    return f"{where}: {problem['msg'].lower()}, not {problem['input']!r}"


def _keys_beside(location: tuple[Any, ...]) -> list[str]:
    """The keys that are possible at a place of a suite's file."""
    table, depth = location[0], len(location)
    model: type[BaseModel] = Suite
    if table == "method" and depth > 2:
        model = Entry
    if table == "scale" and depth == 3:
        model = OwnScale
    if table == "scale" and depth == 4:
        model = OwnBudget
    return list(model.model_fields)
