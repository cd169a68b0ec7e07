"""Files that are either complete or absent, and damaged ones, which are named and set aside."""

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from mosaic.fl.errors import InputError
from mosaic.fl.unfinished import unfinished

Content = TypeVar("Content")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that other processes see all of it or nothing.

    The data go to a hidden file in the same folder, which is then renamed. A folder of the file's
    name is set aside.

    Args:
        path: Where the file must be; its folder exists.
        data: The file's content.

    Raises:
        OSError: The file cannot be written; ``filename`` is ``path``, and nothing is left behind.
    """
    with unfinished(path) as temporary:
        try:
            temporary.write_bytes(data)
            _replace(temporary, path)
        except OSError as error:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(temporary: Path, path: Path) -> None:
    """Rename a file to its final name; a folder of that name is set aside."""
    try:
        os.replace(temporary, path)
    except (IsADirectoryError, PermissionError):  # which of them, depends on the system
        if not path.is_dir():
            raise
        set_aside(path, "file", "it is a folder", "the file takes its place")
        os.replace(temporary, path)


def read_sound(
    path: Path, parse: Callable[[bytes], Content], what: str, then: str
) -> Content | None:
    """Read a file that can be made again. A damaged one is named in a warning and set aside.

    Args:
        path: The file.
        parse: Makes the content of the file's bytes. Any error of it means that they are damaged.
        what: What the file is, for the warning: "record".
        then: What happens because it is missing: "its cell runs again".

    Returns:
        The content; None if there is no file, or a damaged one.

    Raises:
        InputError: The file may be sound, but the system does not let it be read.
    """
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        problem = "it is a folder"
    except OSError as error:
        raise InputError(
            f"cannot read the {what} {path}: {error.strerror or error}. Make it readable, or move "
            f"it away; {then}."
        ) from error
    except Exception as error:  # damaged bytes give errors of any kind
        problem = problem_of(error)
    set_aside(path, what, problem, then)
    return None


def problem_of(error: Exception) -> str:
    """An error in one line; with its class where its text alone would say nothing."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}"


def set_aside(path: Path, what: str, problem: str, then: str, others: Iterable[Path] = ()) -> None:
    """Rename a damaged file or folder, and name it in a warning of one line. Nothing is deleted.

    Args:
        path: The file; its new name ends in ``.damaged``, or ``.damaged2`` if that exists.
        what: What the file is: "record".
        problem: What is wrong with it.
        then: What happens because it is missing: "its cell runs again".
        others: Further files that are of no use without it. Those that exist are renamed too.

    Raises:
        InputError: It cannot be renamed.
    """
    aside = _free_name(path)
    try:
        os.rename(path, aside)
        for other in others:
            if os.path.lexists(other):
                os.rename(other, _free_name(other))
    except FileNotFoundError:  # another process was faster
        return
    except OSError as error:
        raise InputError(
            f"damaged {what} {path}: {problem}. It cannot be set aside ({error.strerror}): "
            f"move it away; {then}."
        ) from error
    warnings.warn(
        f"damaged {what} {path}: {problem}; set aside as {aside.name}, {then}", stacklevel=3
    )


def was_set_aside(path: Path) -> bool:
    """Whether a damaged file of this name was set aside, and none has taken its place since."""
    return not path.exists() and path.with_name(f"{path.name}.damaged").exists()


def _free_name(path: Path) -> Path:
    """The first of NAME.damaged, NAME.damaged2, ... that does not exist."""
    name = path.with_name(f"{path.name}.damaged")
    number = 2
    while os.path.lexists(name):
        name = path.with_name(f"{path.name}.damaged{number}")
        number += 1
    return name
