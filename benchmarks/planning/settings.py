"""A method's settings: from the command line, from files, and as its Config."""

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from benchmarks.planning.methods import known_method
from benchmarks.planning.ranges import check_range
from benchmarks.planning.toml_files import read_toml
from benchmarks.planning.values import read_value
from mosaic.fl.errors import InputError, did_you_mean, not_a_choice
from mosaic.fl.text_files import read_text

Settings = dict[str, dict[str, Any]]
"""Values by setting, by method, label or "task"."""

END = "end of the settings"
END_IS_MARKED = f"The file is whole if it has the line: {END}"
"""The last comment of a tuner's file, and one at its beginning: without its last lines, a TOML file
is another, shorter one."""


def configure(method: str, settings: dict[str, Any]) -> Any:
    """An instance of a method's Config.

    Args:
        method: its name in METHODS.
        settings: values by setting; they are taken as given.

    Returns:
        The method's defaults, the papers' numbers of steps among them, under the settings.

    Raises:
        InputError: if a setting is unknown, or its value is not one of its type or choices.
    """
    config = known_method(method).Config
    values = {}
    for name, value in settings.items():
        values[name] = checked(f"{method}.{name}", config, name, value)
    try:
        return config(**values)
    except InputError:
        raise
    except Exception as error:  # from the checks of a user's method
        raise InputError(f"{method} refuses these settings: {error}") from error


def checked(what: str, config: type, name: str, value: Any) -> Any:
    """A setting's value in the type of its field; every entrance of settings reads with it.

    Args:
        what: how errors call the setting, e.g. "mosaic.lambda_d".
        config: the frozen dataclass that has the field.
        name: the field.
        value: what was given: a text, or a value of TOML or Python.

    Returns:
        The value, see :func:`benchmarks.planning.values.read_value`. It may be inf where the
        field's default is.

    Raises:
        InputError: if there is no such field, or if the value is not possible.
    """
    fields = {field.name: field for field in dataclasses.fields(config) if field.init}
    owner = what.removesuffix(f".{name}")
    if not fields:
        raise InputError(f"{owner} has no settings; {name!r} was given.")
    if name not in fields:
        raise did_you_mean(f"setting of {owner}", name, fields)

    field = fields[name]
    kind = _types_of(config, owner)[name]
    value = read_value(what, kind, value, infinite=field.default == math.inf)
    choices = field.metadata.get("choices", (value,))
    if value not in choices:
        raise not_a_choice(what, value, choices)
    check_range(what, config, name, value)
    return value


def _types_of(config: type, owner: str) -> dict[str, Any]:
    try:
        return get_type_hints(config)
    except Exception as error:  # a user's annotation may be any text
        raise InputError(
            f"the types of the settings of {owner} cannot be read ({error}); "
            "write bool, int, float or str."
        ) from None


def read_settings(given: Sequence[str], files: Sequence[Path] = ()) -> Settings:
    """Settings from the command line and from files.

    Args:
        given: texts like "mosaic.lambda_d=5". They come after ``files``: the last value counts.
        files: TOML files with one table per method. Later ones come after earlier ones.

    Returns:
        E.g. {"mosaic": {"lambda_d": "5"}}; the texts are read when their fields are known.

    Raises:
        InputError: if a text or a file has another form.
    """
    settings: Settings = {}
    for _, method, key, value in _written(given, files):
        settings.setdefault(method, {})[key] = value
    return settings


def overruled(given: Sequence[str], files: Sequence[Path] = ()) -> list[str]:
    """What a user should know about settings that have two values: which one counts.

    Args:
        given: as in :func:`read_settings`.
        files: as in :func:`read_settings`.
    """
    texts = []
    last: dict[tuple[str, str], tuple[str, Any]] = {}
    for source, method, key, value in _written(given, files):
        before, other = last.get((method, key), (source, value))
        if str(other) != str(value):
            texts.append(
                f"{method}.{key} is given twice: {other} ({before}), then {value} ({source}); "
                "the last one counts"
            )
        last[method, key] = source, value
    return texts


def _written(given: Sequence[str], files: Sequence[Path]) -> list[tuple[str, str, str, Any]]:
    """Each setting as (source, method, key, value), in the order in which they are applied."""
    written = []
    for path in files:
        for method, table in read_params(path).items():
            written += [(f"--params {path}", method, key, value) for key, value in table.items()]

    for text in given:
        where, _, value = text.partition("=")
        method, key = _split_name(where, text)
        written.append(("--set", method, key, _unquoted(value.strip())))
    return written


def _split_name(where: str, text: str) -> tuple[str, str]:
    """ "mosaic.lambda_d" as ("mosaic", "lambda_d"); a method may be the path of a file."""
    method, _, key = where.strip().rpartition(".")
    if "=" not in text or not method or not key:
        hint = ""
        if "=" in text and key:
            hint = _hint(key)
        raise InputError(
            f"--set {text!r} is not METHOD.KEY=VALUE, e.g. mosaic.lambda_d=5 or task.rounds=10."
            f"{hint}"
        )
    if method.endswith(".py"):
        method = Path(method).stem
    return method, key


def _unquoted(text: str) -> Any:
    """A list or a quoted text as TOML reads it; any other text as it is."""
    if not text.startswith(("[", '"', "'")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_params(path: Path) -> Settings:
    """A file of settings: one TOML table per method.

    Raises:
        InputError: if it cannot be read, has something outside of a table, or is a tuner's file
            without its end.
    """
    tables = read_toml(path, "--params ")
    lines = [line.strip() for line in read_text(path).splitlines()]
    if f"# {END_IS_MARKED}" in lines and f"# {END}" not in lines:
        raise InputError(
            f"--params {path} is cut short: its last lines are missing. Copy it again, or write it "
            "again with benchmarks.tune."
        )
    check_tables(tables, f"--params {path}")
    return tables


def check_tables(settings: Any, source: str) -> None:
    """Check that settings are one table per method.

    Args:
        settings: what a file or a caller of the Python API gave.
        source: how errors call it.

    Raises:
        InputError: if they are not, with the table that a setting is probably of.
    """
    if not isinstance(settings, dict):
        raise InputError(
            f"{source} is {settings!r}; it must be one table per method, e.g. "
            '{"task": {"rounds": 5}}.'
        )
    for name, table in settings.items():
        if not isinstance(table, dict):
            raise InputError(
                f"{source}: {name} = {table!r} is in no table; it belongs to a method or to the "
                f"task, [mosaic] or [task] in a file.{_hint(str(name))}"
            )


def _hint(key: str) -> str:
    """ " Did you mean task.rounds?" for a setting whose method was left out."""
    places = _places_of(key)
    return f" Did you mean {' or '.join(places)}?" if places else ""


def _places_of(key: str) -> list[str]:
    """At most three settings with this name, or else with the nearest one: "task.rounds"."""
    # Not above: they need PyTorch, which is for this hint only.
    from benchmarks.planning.methods import METHODS
    from mosaic.fl.task import Task

    owners = {"task": Task} | {name: module.Config for name, module in METHODS.items()}
    places: dict[str, list[str]] = {}
    for owner, config in owners.items():
        for field in dataclasses.fields(config):
            places.setdefault(field.name, []).append(f"{owner}.{field.name}")
    nearest = difflib.get_close_matches(key, places, n=1, cutoff=0.5)
    return places[nearest[0]][:3] if nearest else []
