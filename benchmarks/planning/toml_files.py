"""TOML files that a user gives, or is given: suites and settings."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mosaic.fl.errors import InputError
from mosaic.fl.text_files import read_text


def read_toml(path: Path, what: str = "") -> dict[str, Any]:
    """The content of a TOML file; it may begin with a byte-order mark.

    Args:
        path: the file.
        what: how errors call it before its path, e.g. "--params ".

    Raises:
        InputError: if it cannot be read, or is not TOML, with the line.
    """
    text = read_text(path, what)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{what}{path} is not valid TOML: {error}.") from None


def toml_of(
    tables: Mapping[str | tuple[str, str], dict[str, Any]] | Mapping[str, dict[str, Any]],
    comments: Sequence[str] = (),
) -> str:
    """A file for ``benchmarks.run --params``, or another one of tables.

    Args:
        tables: The settings by method or "task", or by two names: the second table is inside the
            first. None, which TOML does not have, is left out.
        comments: Lines at its beginning.
    """
    lines = [f"# {' '.join(comment.splitlines())}" for comment in comments]
    for name, values in tables.items():
        names = name if isinstance(name, tuple) else (name,)
        lines.append(f"[{'.'.join(map(_toml_key, names))}]")
        for key, value in values.items():
            if value is not None:
                lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml_value(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # repr has all digits of a float. JSON writes text, true and false as TOML does.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
