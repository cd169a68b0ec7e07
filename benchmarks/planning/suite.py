"""A suite is one question, written as a TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mosaic.fl.errors import InputError, did_you_mean

FOLDER = Path(__file__).parents[1] / "suites"


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
            raise InputError(
                f"there is no suite file {name!r}; give an existing TOML file or one of: {_names()}."
            )
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
        known = (
            Entry.model_fields
            if error["loc"][0] == "method" and len(error["loc"]) > 2
            else Suite.model_fields
        )
        return f"{where}: {str(did_you_mean('key', error['loc'][-1], known)).rstrip('.')}"
    return f"{where}: {error['msg'].lower()}" + (
        f", not {error['input']!r}" if error["type"] != "missing" else ""
    )
