"""A method's settings: from the command line, from files, and as its Config."""

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from benchmarks.planning.methods import known_method
from mosaic.fl.errors import InputError, did_you_mean

Settings = dict[str, dict[str, Any]]
"""Values by setting, by method, label or "task"."""


def configure(method: str, work: dict[str, float], settings: dict[str, Any]) -> Any:
    """An instance of a method's Config.

    Args:
        method: its name in METHODS.
        work: the scale's factors of "client" and "server" work, the same for all methods. Default
            numbers of steps are multiplied by the factor of their side.
        settings: values by setting; they are taken as given.

    Returns:
        The method's defaults, scaled, under the settings.

    Raises:
        InputError: if a setting is unknown, or its value is not one of its type or choices.
    """
    config = known_method(method).Config
    values = {}
    for field in dataclasses.fields(config):
        if field.metadata.get("work") and field.default:
            factor = work[field.metadata["work"]]
            default: Any = field.default
            values[field.name] = max(1, round(default * factor))

    for name, value in settings.items():
        values[name] = checked(f"{method}.{name}", config, name, value)
    return config(**values)


def checked(what: str, config: type, name: str, value: Any) -> Any:
    """A setting's value in the type of its field; text from a command line is read.

    Args:
        what: how errors call the setting, e.g. "mosaic.lambda_d".
        config: the frozen dataclass that has the field.
        name: the field.
        value: what was given.

    Returns:
        The value as int, float or str if the field is one of these; else as given.

    Raises:
        InputError: if there is no such field, or if the value is not possible.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}
    owner = what.split(".")[0]
    if not fields:
        raise InputError(f"{owner} has no settings; {name!r} was given.")
    if name not in fields:
        raise did_you_mean(f"setting of {owner}", name, fields)

    choices = fields[name].metadata.get("choices")
    if choices and value not in choices:
        raise InputError(f"{what} is {value!r}; possible: {', '.join(choices)}.")

    wanted = get_type_hints(config)[name]
    if wanted == int | None:
        wanted = int
    if wanted not in (int, float, str):
        return value

    try:
        if wanted is int:
            return _whole_number(value)
        return wanted(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} is {value!r}; it must be of type {wanted.__name__}.") from None


def _whole_number(value: Any) -> int:
    """The int that a number or its text ("1e3") stands for; ValueError if it has a fraction."""
    number = float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def read_settings(given: Sequence[str], files: Sequence[Path] = ()) -> Settings:
    """Settings from the command line and from files.

    Args:
        given: texts like "mosaic.lambda_d=5"; the value is read as TOML, else as text.
        files: TOML files with one table per method. ``given`` comes after them.

    Returns:
        E.g. {"mosaic": {"lambda_d": 5}}.

    Raises:
        InputError: if a text or a file has another form.
    """
    settings: Settings = {}
    for path in files:
        for method, table in read_params(path).items():
            settings.setdefault(method, {}).update(table)

    for text in given:
        where, _, value = text.partition("=")
        method, key = _split_name(where, text)
        settings.setdefault(method, {})[key] = _value_of(value)
    return settings


def _split_name(where: str, text: str) -> tuple[str, str]:
    """ "mosaic.lambda_d" as ("mosaic", "lambda_d"); a method may be the path of a file."""
    method, _, key = where.strip().rpartition(".")
    if "=" not in text or not method or not key:
        raise InputError(
            f"--set {text!r} is not METHOD.KEY=VALUE, e.g. mosaic.lambda_d=5 or task.rounds=10."
        )
    if method.endswith(".py"):
        method = Path(method).stem
    return method, key


def _value_of(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def read_params(path: Path) -> Settings:
    """A file of settings: one TOML table per method.

    Raises:
        InputError: if it cannot be read, or has something outside of a table.
    """
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise InputError(
            f"cannot read --params {path}: {error.strerror}; give a TOML file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--params {path} is not valid TOML: {error}.") from None

    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(
                f"--params {path}: {name} = {table!r} is in no table; "
                "write it below [mosaic] or [task]."
            )
    return tables
