"""A suite's folder belongs to one suite: two files of one name do not write into one folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

from benchmarks.planning.suite import FOLDER, Suite, read_suite, suite_names, suite_path
from benchmarks.texts import one_line, utf8
from mosaic.fl.errors import InputError
from mosaic.fl.files import read_sound, write_whole

OWNER = "suite.json"
"""The file in a suite's folder that says whose folder it is."""

ENDING = "-paper"
"""Of the folder of a suite that is run with the budget "paper"."""

RESERVED = ("cache", "tracking", "tuning")
"""Folders under --out that are no suite's."""


def name_with_budget(suite: str, budget: str) -> str:
    """The name of a suite's folder: with the budget "paper" it has an ending."""
    return f"{suite}{ENDING}" if budget == "paper" else suite


def budget_of(name: str) -> str:
    """The budget of the suite whose folder has this name."""
    return "paper" if name.endswith(ENDING) else "equal"


def other_budget(folder: Path) -> Path:
    """Where the same suite's results with the other budget are, if there are any."""
    if folder.name.endswith(ENDING):
        return folder.with_name(folder.name.removesuffix(ENDING))
    return folder.with_name(f"{folder.name}{ENDING}")


def check_folder(folder: Path, given: str) -> None:
    """Check that a suite may write into its folder; nothing is written.

    A suite is known by the path of its file, or, where the file was moved, by its content. A folder
    from before there were owners belongs to this package's suite of its name, if there is one.

    Args:
        folder: the suite's folder, which need not exist; it has the suite's name.
        given: the suite's name or file, as the user gave it.

    Raises:
        InputError: a folder cannot have this name, or it belongs to another suite.
    """
    _check_name(Path(given).stem if given.endswith(".toml") else given)
    owner = _owner(folder)
    here = _identity(given)
    if owner is None or owner["path"] == here["path"] or owner["sha256"] == here["sha256"]:
        return
    raise InputError(
        f"{folder} has the results of another suite of this name, {owner['path']}; this one is "
        f"{here['path']}. Give another --out, or rename the suite's file."
    )


def _check_name(name: str) -> None:
    if name.casefold() in RESERVED:
        raise InputError(
            f"a suite cannot be called {name!r}: that folder under --out is for other things; "
            "rename the suite's file."
        )
    if name.startswith(".") or one_line(name) != name:
        raise InputError(
            f"a suite cannot be called {name!r}: its name is that of a folder, which must not "
            "begin with a dot or have line breaks; rename the suite's file."
        )


def claim(folder: Path, given: str) -> None:
    """Write down whose folder it is; call :func:`check_folder` before."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / OWNER, utf8(json.dumps(_identity(given), indent=1) + "\n"))


def claim_by_name(folder: Path, name: str) -> None:
    """Write down whose folder it is, if a suite of this package has the name of its records."""
    given = name.removesuffix(ENDING)
    if given in suite_names():
        claim(folder, given)


def same_suite(first: Path, second: Path) -> bool:
    """Whether two folders belong to one suite, as far as they say whose they are."""
    a, b = _owner(first), _owner(second)
    if a is None or b is None:
        return True
    return a["path"] == b["path"] or a["sha256"] == b["sha256"] != ""


def suite_of(folder: Path) -> Suite:
    """The content of the suite that a folder belongs to.

    Of a suite whose file is not on this machine only the defaults are known: no further pages, and
    the usual reference.
    """
    return known_suite(folder) or Suite(question="", omega=[1.0], clients=[1])


def known_suite(folder: Path) -> Suite | None:
    """The content of the suite that a folder belongs to; None if it is not on this machine."""
    owner = _owner(folder) or {"path": f"built-in: {folder.name}"}
    builtin = owner["path"].startswith("built-in: ")
    given = owner["path"].removeprefix("built-in: ")
    if builtin:
        given = given.removesuffix(ENDING)
    if given in suite_names() if builtin else Path(given).is_file():
        return read_suite(given)[1]
    return None


def _identity(given: str) -> dict[str, str]:
    """The place of a suite's file, and the hash of its content."""
    path = suite_path(given).resolve()
    place = f"built-in: {path.stem}" if path.parent == FOLDER.resolve() else str(path)
    return {"path": place, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _owner(folder: Path) -> dict[str, Any] | None:
    """Whose folder it is; None for a new one, and where that is not known."""
    owner = read_sound(folder / OWNER, _parsed, "file of the suite", "the next run writes it again")
    if owner is not None:
        return owner

    has_results = any((folder / name).exists() for name in ("cells", "table.md"))
    if has_results and folder.name in suite_names():
        return {"path": f"built-in: {folder.name}", "sha256": ""}
    return None


def _parsed(content: bytes) -> dict[str, Any]:
    owner = json.loads(content.decode())
    if not isinstance(owner, dict) or not isinstance(owner.get("path"), str):
        raise ValueError("it does not say whose folder it is")
    return {"sha256": "", **owner}
