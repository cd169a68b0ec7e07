"""What a person did wrong, said once, at the border: what was given, what is possible, what to do."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A wrong command, suite, value or file of the user's. The command prints its text and exits with 2."""


def did_you_mean(what: str, given: str, known: Iterable[str]) -> InputError:
    """The error for an unknown name, with the nearest known one first and all the known ones after it."""
    known = sorted(known)
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return InputError(f"unknown {what} {given!r}{hint} Known: {', '.join(known)}.")
