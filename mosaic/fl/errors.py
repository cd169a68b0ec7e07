"""Errors that a user can fix: what was given, what is possible, what to do."""

import difflib
from collections.abc import Iterable


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
    nearest = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    listed = f" Known: {', '.join(names)}." if names else ""
    return InputError(f"unknown {what} {given!r}{hint}{listed}")
