"""Errors that a user can fix: what was given, what is possible, what to do."""

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any


class InputError(ValueError):
    """A wrong command, suite, value or file. The command prints its text and exits with code 2."""


def did_you_mean(what: str, given: str, known: Iterable[str]) -> InputError:
    """The error for an unknown name. It suggests the nearest known name and lists all of them.

    Args:
        what: What the name is of, for example "method".
        given: The unknown name.
        known: The known names.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(set(known))
    nearest = _nearest(given, names)
    hint = f"; did you mean {nearest!r}?" if nearest else "."
    listed = f" Known: {', '.join(names)}." if names else ""
    return InputError(f"unknown {what} {given!r}{hint}{listed}")


def not_a_choice(what: str, given: Any, possible: Iterable[Any]) -> InputError:
    """The error for a value that is not one of a closed set. It lists all, and suggests one.

    Args:
        what: What the value is of, for example "mosaic.meta".
        given: The value.
        possible: The possible values.

    Returns:
        The error, to be raised by the caller.
    """
    values = [str(value) for value in possible]
    nearest = _nearest(given, values)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return InputError(f"{what} is {given!r}; possible: {', '.join(values)}.{hint}")


def _nearest(given: Any, names: Sequence[str]) -> str:
    """The name that is most like what was given; "" if none is."""
    found = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    return found[0] if found else ""


NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def is_full(error: BaseException) -> bool:
    """Whether an error means that nothing can be written any more: no later work can succeed."""
    return isinstance(error, OSError) and error.errno in (*NO_SPACE, errno.EROFS)


def problem_of_machine(error: OSError) -> str:
    """What to do about an error of a disk: full, read-only, or another user's.

    Returns:
        The text in one line; "" for any other error.
    """
    place = error.filename or "what this command writes"
    if error.errno in NO_SPACE:
        return (
            f"{error.strerror} for {place}: free some, or give another folder; "
            "what is complete stays, and the same command goes on from there."
        )
    if error.errno in NOT_WRITABLE:
        return f"{error.strerror}: {place}; make it writable, or give another folder."
    return ""
