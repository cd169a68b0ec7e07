"""Where two texts differ: the line, and the smallest part of it, with both values."""

import csv
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST = 90
"""Characters of a value in a finding."""


@dataclass(frozen=True)
class TextDifference:
    """One difference between a file and what the records give.

    Attributes:
        line: its number in the file, from 1.
        place: which part of the line; "" for all of it.
        here: what the file has; None: it lacks the line.
        again: what the records give; None: the line is not from them.
    """

    line: int
    place: str
    here: str | None
    again: str | None

    def __str__(self) -> str:
        place = f" ({self.place})" if self.place else ""
        if self.here is None:
            return f"before line {self.line} the records also give {_quoted(self.again)}"
        if self.again is None:
            return f"line {self.line}: {_quoted(self.here)} is not what the records give"
        return (
            f"line {self.line}{place}: {_quoted(self.here)}, and the records give "
            f"{_quoted(self.again)}"
        )


def _quoted(text: str | None) -> str:
    text = text or ""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} ..."
    return f"{text!r}"


def differences(here: str, again: str, is_csv: bool) -> list[TextDifference]:
    """The differences between two texts, line by line.

    Args:
        here: the file's text.
        again: what the records give.
        is_csv: whether parts of a line are columns, whose names are in the first line.
    """
    if here == again:
        return []
    lines, lines_again = here.splitlines(), again.splitlines()
    if lines == lines_again:  # only line ends differ, as on another system
        return []
    names = _fields(lines_again[0]) if is_csv and lines_again else []
    matcher = difflib.SequenceMatcher(None, lines, lines_again, autojunk=False)
    found = []
    for kind, start, end, start_again, end_again in matcher.get_opcodes():
        if kind == "equal":
            continue
        old, new = lines[start:end], lines_again[start_again:end_again]
        n_pairs = min(len(old), len(new))
        for i in range(n_pairs):
            found += _in_line(start + i + 1, old[i], new[i], is_csv, names)
        found += [TextDifference(start + i + 1, "", old[i], None) for i in range(n_pairs, len(old))]
        found += [TextDifference(end + 1, "", None, text) for text in new[n_pairs:]]
    return found


def _in_line(
    line: int, here: str, again: str, is_csv: bool, names: Sequence[str]
) -> Iterator[TextDifference]:
    """The parts of one line that differ; the whole line if it has other parts."""
    if is_csv:
        parts, parts_again = _fields(here), _fields(again)
    elif here.startswith("|"):
        parts, parts_again = here.split(" | "), again.split(" | ")
    else:
        parts, parts_again = _words(here), _words(again)
    if len(parts) != len(parts_again):
        yield TextDifference(line, "", here, again)
        return
    for i, (part, part_again) in enumerate(zip(parts, parts_again, strict=True)):
        if part == part_again:
            continue
        place = names[i] if i < len(names) else _row_name(here, i)
        yield TextDifference(line, place, part.strip(" |"), part_again.strip(" |"))


def _row_name(line: str, i: int) -> str:
    """The part of a table's line, in words; "" for other lines."""
    if not line.startswith("|"):
        return ""
    return f"column {i + 1} of {line.split(' | ')[0].strip(' |')}"


def _fields(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _words(line: str) -> list[str]:
    """The parts of other texts: what is between spaces, commas and brackets."""
    return re.split(r"(?<=[\s,;:&<>\[\]{}])", line)
