"""TOML files that a user gives: suites and settings."""

import tomllib
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
