"""Errors that a user can fix: what was given, what is possible, what to do."""

import difflib
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
