"""A report has many parts; one that cannot be made does not stop the others."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.texts import shortened, utf8
from mosaic.fl.files import write_whole

TRACEBACKS = "report.failed.txt"
"""The file with the tracebacks of the parts that are missing in a report."""

LONGEST_ERROR = 300
"""Characters of an error in its line."""


@dataclass(frozen=True)
class Failure:
    """A part of a report that could not be made.

    Attributes:
        part: its name: a file or a page, with the label where it is of one method.
        error: what went wrong.
    """

    part: str
    error: Exception

    @property
    def text(self) -> str:
        """The error on one line."""
        return shortened(f"{type(self.error).__name__}: {self.error}", LONGEST_ERROR)


Failures = list[Failure]


@contextmanager
def part(name: str, failures: Failures | None) -> Iterator[None]:
    """Make one part of a report.

    Args:
        name: of the part.
        failures: gets the error, and what follows the block goes on; None: the error is raised.
    """
    try:
        yield
    except Exception as error:
        if failures is None:
            raise
        failures.append(Failure(name, error))


def failure_lines(failures: Failures) -> list[str]:
    """One line per different error, with the parts that it prevented."""
    parts: dict[str, list[str]] = {}
    for failure in failures:
        parts.setdefault(failure.text, []).append(failure.part)
    return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in parts.items()]


def write_tracebacks(failures: Failures, folder: Path) -> None:
    """Write the tracebacks of all failures beside the report; without any the file is removed."""
    path = folder / TRACEBACKS
    if not failures:
        path.unlink(missing_ok=True)
        return
    texts = []
    for failure in failures:
        lines = traceback.format_exception(failure.error)
        texts.append(f"{failure.part}\n{''.join(lines)}")
    write_whole(path, utf8("\n".join(texts)))
