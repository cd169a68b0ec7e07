"""The checks of :func:`mosaic.fl.contract.check_method`, one part of a method's module each.

Each takes the method's name, for the message, and its module. It raises an InputError that says
what was given, what is possible, and shows a line to write.
"""

import dataclasses
import inspect
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from mosaic.fl.contract import MOST_TUNED, NEEDS, PROTOCOLS, STUDENT_NORMS, STUDENT_STARTS
from mosaic.fl.errors import InputError


def _refusal(name: str, problem: str, line: str) -> InputError:
    """The error for one problem, with an example of a correct line."""
    return InputError(f"method {name!r}: {problem} Write, for example: {line}")


def _given(module: ModuleType, attribute: str) -> str:
    """What the module has, in words: "PAPER is missing" or "PAPER is 3"."""
    if not hasattr(module, attribute):
        return f"{attribute} is missing"
    return f"{attribute} is {getattr(module, attribute)!r}"


def _listed(values: Collection[str]) -> str:
    return ", ".join(repr(value) for value in values)


def _check_docstring(name: str, module: ModuleType) -> None:
    first = (module.__doc__ or "").strip().split("\n\n")[0]
    title, colon, idea = first.partition(": ")
    if title and colon and idea.strip():
        return

    problem = "its docstring is missing;"
    if first:
        problem = f"its docstring begins with {first!r};"
    raise _refusal(
        name,
        f'{problem} its first paragraph must be "Name: idea.".',
        f'"""{name}: what the method does, in one sentence."""',
    )


def _check_paper(name: str, module: ModuleType) -> None:
    if isinstance(getattr(module, "PAPER", None), str):
        return
    raise _refusal(
        name,
        f"{_given(module, 'PAPER')}; it must be a text: authors, venue and year, or empty.",
        'PAPER = "McMahan et al., AISTATS 2017"',
    )


def _check_protocol(name: str, module: ModuleType) -> None:
    if getattr(module, "PROTOCOL", None) in PROTOCOLS:
        return
    raise _refusal(
        name,
        f"{_given(module, 'PROTOCOL')}; possible: {_listed(PROTOCOLS)}.",
        f'PROTOCOL = "{PROTOCOLS[0]}"',
    )


def _check_needs(name: str, module: ModuleType) -> None:
    needs = getattr(module, "NEEDS", None)
    if isinstance(needs, tuple) and all(need in NEEDS for need in needs):
        return
    raise _refusal(
        name,
        f"{_given(module, 'NEEDS')}; it must be a tuple, empty or of: {_listed(NEEDS)}.",
        'NEEDS = ("label counts",)',
    )


def _check_config(name: str, module: ModuleType) -> None:
    line = "@dataclass(frozen=True) class Config: lr: float = 0.01"
    config = getattr(module, "Config", None)

    if not isinstance(config, type):
        raise _refusal(name, f"{_given(module, 'Config')}; it must be a frozen dataclass.", line)

    frozen = dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    if not frozen:
        raise _refusal(name, "Config is not a frozen dataclass.", line)

    without_default = [f.name for f in _fields(module).values() if _has_no_default(f)]
    if without_default:
        raise _refusal(
            name,
            f"every field of Config must have a default; without one: {_listed(without_default)}.",
            line,
        )

    try:
        config()
    except Exception as error:
        raise _refusal(name, f"Config() fails: {error}.", line) from error


def _fields(module: ModuleType) -> dict[str, dataclasses.Field]:
    return {f.name: f for f in dataclasses.fields(module.Config)}


def _has_no_default(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def _check_space(name: str, module: ModuleType) -> None:
    line = 'SPACE = {"lr": (1e-4, 1e-1), "student": ["average", "random"]}, or SPACE = {}'
    space = getattr(module, "SPACE", None)
    if not isinstance(space, dict):
        raise _refusal(
            name, f"{_given(module, 'SPACE')}; it must be a dict by field of Config.", line
        )

    unknown = [key for key in space if key not in _fields(module)]
    if unknown:
        raise _refusal(
            name,
            f"SPACE has {_listed(unknown)}, which Config lacks;"
            f" possible: {_listed(_fields(module)) or 'none'}.",
            line,
        )

    config = module.Config()
    for key, values in space.items():
        problem = _problem_with(values, default=getattr(config, key))
        if problem:
            raise _refusal(name, f"SPACE[{key!r}] is {values!r}; {problem}", line)


def _check_tuned(name: str, module: ModuleType) -> None:
    if not hasattr(module, "TUNED"):
        return
    tuned = module.TUNED
    correct = isinstance(tuned, tuple) and all(key in module.SPACE for key in tuned)
    if correct and 1 <= len(set(tuned)) == len(tuned) <= MOST_TUNED:
        return
    raise _refusal(
        name,
        f"TUNED is {tuned!r}; it must be a tuple of one to {MOST_TUNED} different settings of"
        f" SPACE: {_listed(module.SPACE) or 'there are none, so leave TUNED out'}.",
        'TUNED = ("lr",)',
    )


def _problem_with(values: Any, default: Any) -> str:
    """What is wrong with one entry of SPACE, or ""."""
    if isinstance(values, tuple) and len(values) == 2 and all(map(_is_number, values)):
        low, high = values
        if not _is_number(default):
            return f"a range is for numbers, and the default in Config is {default!r}."
        if not low <= default <= high:
            return f"the default in Config, {default!r}, must be inside the range."
        return ""

    if isinstance(values, (list, tuple)) and len(values) >= 2:
        if default not in values:
            return f"the default in Config, {default!r}, must be one of the choices."
        return ""

    return "it must be (low, high), or a list of at least two choices."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_student(name: str, module: ModuleType) -> None:
    if not hasattr(module, "STUDENT"):
        return
    student = module.STUDENT
    if not isinstance(student, dict):
        _check_start_and_norms(name, module, student)
        return

    # By protocol: every possible value of the setting must have its pair
    protocol = _fields(module).get("protocol")
    possible = () if protocol is None else protocol.metadata.get("choices", ())
    if set(student) != set(possible):
        raise _refusal(
            name,
            f"STUDENT is a dict with {_listed(student)}; its keys must be the choices of"
            f" Config.protocol: {_listed(possible) or 'there are none'}.",
            'STUDENT = ("average", "kept")',
        )
    for pair in student.values():
        _check_start_and_norms(name, module, pair)


def _check_start_and_norms(name: str, module: ModuleType, pair: Any) -> None:
    if isinstance(pair, tuple) and len(pair) == 2:
        start, norms = pair
        starts = [*STUDENT_STARTS, *(f"config.{field}" for field in _fields(module))]
        if start in starts and norms in STUDENT_NORMS:
            return
    raise _refusal(
        name,
        f"STUDENT has {pair!r}; it must be (start, norms), start one of"
        f' {_listed(STUDENT_STARTS)} or "config.x" for a field x of Config,'
        f" norms one of {_listed(STUDENT_NORMS)}.",
        'STUDENT = ("average", "kept")',
    )


def _check_run(name: str, module: ModuleType) -> None:
    line = "def run(task: Task, config: Config) -> Iterator[Snapshot]: ... yield Snapshot(...)"
    run = getattr(module, "run", None)
    if not callable(run):
        raise _refusal(name, f"{_given(module, 'run')}; it must be a function.", line)
    if not _takes_task_and_config(run):
        raise _refusal(name, "run must take two arguments, task and config.", line)
    if not _is_generator(run):
        raise _refusal(name, "run must be a generator: it must yield a Snapshot.", line)


def _check_stages(name: str, module: ModuleType) -> None:
    if not hasattr(module, "stages"):
        return
    if not (callable(module.stages) and _takes_task_and_config(module.stages)):
        raise _refusal(
            name,
            "stages must be a function of two arguments, task and config.",
            "def stages(task: Task, config: Config) -> Waves: return waves_of_all_rounds(task)",
        )


def _takes_task_and_config(function: Callable) -> bool:
    try:
        inspect.signature(function).bind("task", "config")
    except TypeError:
        return False
    return True


def _is_generator(run: Callable) -> bool:
    """Whether ``run`` yields, or is annotated to return the generator of another function."""
    if inspect.isgeneratorfunction(run):
        return True
    returned = str(getattr(run, "__annotations__", {}).get("return", ""))
    return any(word in returned for word in ("Iterator", "Iterable", "Generator"))


CHECKS: tuple[Callable[[str, ModuleType], None], ...] = (
    _check_docstring,
    _check_paper,
    _check_protocol,
    _check_needs,
    _check_config,  # before those that read the fields of Config
    _check_space,
    _check_tuned,  # after SPACE, whose keys it names
    _check_student,
    _check_run,
    _check_stages,
)
