"""Keys of cells and stages: the hash of everything that determines a result."""

import dataclasses
import hashlib
import json
import math
from typing import Any

FLOAT = (float, "float")
"""A field's type; a module that postpones its annotations has the text."""

FLOATS = (tuple[float, ...], "tuple[float, ...]")


def stage_key(name: str, version: int, arguments: dict[str, Any]) -> str:
    """The key of a stage's result.

    Args:
        name: The stage's name.
        version: Its version, which is raised when its result changes.
        arguments: Its arguments by name: frozen configs and plain values.

    Returns:
        The first 32 hex digits of the SHA-256 of their :func:`canonical` text.
    """
    text = canonical([name, version, arguments])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def canonical(value: Any) -> str:
    """JSON with sorted keys, and dataclasses as their class name and fields.

    Equal values give equal text: a field of floats may be given whole numbers. One declared with
    :func:`mosaic.fl.contract.added_later` is left out at its default value.

    Raises:
        TypeError: If there is anything but dataclasses and plain values.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {"class": type(value).__name__}
        for field in dataclasses.fields(value):
            if not _is_left_out(value, field):
                plain[field.name] = _plain(_as_typed(getattr(value, field.name), field))
        return plain

    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]

    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # JSON has no number for it
    if value is None or isinstance(value, (str, int, float, bool)):
        return value

    raise TypeError(f"a stage's arguments are configs and plain values, not {type(value).__name__}")


def _as_typed(value: Any, field: dataclasses.Field) -> Any:
    """The value of a field, with whole numbers as floats where the field is one of floats."""
    if field.type in FLOAT and isinstance(value, int):
        return float(value)
    if field.type in FLOATS and isinstance(value, (list, tuple)):
        return [float(item) for item in value]
    return value


def _is_left_out(value: Any, field: dataclasses.Field) -> bool:
    """Whether the field was added later and has its default, so that older keys stay valid."""
    added_later = field.metadata.get("later", False)
    return added_later and getattr(value, field.name) == field.default
