"""Keys: the hash of what determines a result."""

import dataclasses
import hashlib
import json
import math
from typing import Any


def stage_key(name: str, version: int, arguments: dict[str, Any]) -> str:
    """32 hex digits of the SHA-256 of the canonical JSON of what determines the artifact."""
    return hashlib.sha256(canonical([name, version, arguments]).encode()).hexdigest()[:32]


def canonical(value: Any) -> str:
    """JSON with sorted keys, dataclasses by their class name and fields: equal values give equal text."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        named = {
            f.name: getattr(value, f.name)
            for f in dataclasses.fields(value)
            if not _left_out(value, f)
        }
        return {"class": type(value).__name__, **{name: _plain(v) for name, v in named.items()}}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a stage's arguments are configs and plain values, not {type(value).__name__}")


def _left_out(value: Any, field: dataclasses.Field) -> bool:
    """Is it a field that came later (``task.later``), at its default? Keys that are older than it hold."""
    return field.metadata.get("later", False) and getattr(value, field.name) == field.default
