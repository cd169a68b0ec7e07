"""A method's settings: from the command line, from files, and as its Config."""

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from benchmarks.planning.methods import known_method
from mosaic.fl.errors import InputError, did_you_mean


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
    return config(
        **scaled | {k: checked(f"{method}.{k}", config, k, v) for k, v in settings.items()}
    )


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
            raise InputError(
                f"{what} is {value!r}; it must be of type {wanted.__name__}."
            ) from None
    return value


def read_settings(given: Sequence[str], files: Sequence[Path] = ()) -> dict[str, dict[str, Any]]:
    """``mosaic.lambda_d=5`` to {"mosaic": {"lambda_d": 5}}; values are read as TOML, else as text.

    ``files`` say the same as TOML tables, [mosaic] with lambda_d = 5; what is ``given`` comes after them.
    """
    settings: dict[str, dict[str, Any]] = {}
    for path in files:
        for method, table in read_params(path).items():
            settings.setdefault(method, {}).update(table)
    for text in given:
        where, equals, value = text.partition("=")
        method, dot, key = where.strip().partition(".")
        if not (equals and dot and method and key):
            raise InputError(
                f"--set {text!r} is not METHOD.KEY=VALUE, e.g. mosaic.lambda_d=5 or task.rounds=10."
            )
        try:
            settings.setdefault(method, {})[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings.setdefault(method, {})[key] = value.strip()
    return settings


def read_params(path: Path) -> dict[str, dict[str, Any]]:
    """A file of settings: one TOML table a method. InputError where it is not there, or something else."""
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
                f"--params {path}: {name} = {table!r} is in no table; write it below [mosaic] or [task]."
            )
    return tables
