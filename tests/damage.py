"""What may happen to a file: damage that Hypothesis draws, of bytes, of lines and of fields.

A test gives the content of a real file, draws a damaged one, and states what still holds.
"""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

QUICK = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
OTHERS = ["text", "", None, True, float("nan"), -1, [], ["a"], {}]
"""Values of another type, in the place of a field's."""


def few(n: int) -> settings:
    """Settings of a test that draws ``n`` examples, the same in every run."""
    return settings(max_examples=n, **QUICK)


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The content cut anywhere, empty, or with some of its bytes zeroed, replaced or left out."""
    kind = draw(st.sampled_from(["cut", "zeroed", "not text", "left out", "empty"]))
    if kind == "empty":
        return b""
    start = draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        return content[:start]
    end = min(len(content), start + draw(st.integers(1, 60)))
    middle = {"zeroed": bytes(end - start), "not text": b"\xff\xfe", "left out": b""}[kind]
    return content[:start] + middle + content[end:]


@st.composite
def damaged_lines(draw: st.DrawFn, content: bytes) -> bytes:
    """Lines of JSON of which one is missing, twice there, elsewhere, or has another field."""
    lines = content.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 1))
    kind = draw(st.sampled_from(["cut", "missing", "twice", "moved", "field", "field", "field"]))
    if kind == "cut":
        return b"".join(lines[:at])
    if kind == "missing":
        return b"".join(lines[:at] + lines[at + 1 :])
    if kind == "twice":
        return b"".join([*lines[: at + 1], *lines[at:]])
    if kind == "moved":
        line = lines.pop(at)
        lines.insert(draw(st.integers(0, len(lines))), line)
        return b"".join(lines)
    value = draw(damaged_value(json.loads(lines[at])))
    lines[at] = json.dumps(value).encode() + b"\n"
    return b"".join(lines)


@st.composite
def damaged_value(draw: st.DrawFn, value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object without one of its fields, with one of another type, or with a further one."""
    changed = dict(value)
    field = draw(st.sampled_from(sorted(value)))
    kind = draw(st.sampled_from(["missing", "another type", "further"]))
    if kind == "missing":
        del changed[field]
    elif kind == "another type":
        changed[field] = draw(st.sampled_from(OTHERS))
    else:
        changed["of_a_later_version"] = draw(st.sampled_from(OTHERS))
    return changed


def damaged(content: bytes, by_line: bool = True) -> st.SearchStrategy[bytes]:
    """Any damage of a file; ``by_line``: its content is lines of JSON objects."""
    if not by_line:
        return damaged_bytes(content)
    return damaged_bytes(content) | damaged_lines(content)
