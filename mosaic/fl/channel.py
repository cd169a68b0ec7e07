"""The network between clients and server: whatever crosses goes through here and is counted.

``upload`` and ``download`` hand their payload back unchanged and add its bytes to the open account: the tensors' own
bytes, as they lie in a file, for one client and one crossing. Framing and compression are left out.
"""

from typing import TypeVar

from torch import Tensor

from mosaic.fl.costs import account

Payload = TypeVar("Payload")


def upload(payload: Payload, kind: str = "model") -> Payload:
    """One client sends ``payload`` to the server. Kinds: model, generator, prototypes, counts, data, ..."""
    _count(account().own.upload, payload, kind)
    return payload


def download(payload: Payload, kind: str = "model") -> Payload:
    """The server sends ``payload`` to one client."""
    _count(account().own.download, payload, kind)
    return payload


def _count(ledger: dict[str, int], payload: object, kind: str) -> None:
    ledger[kind] = ledger.get(kind, 0) + n_bytes(payload)


def n_bytes(payload: object) -> int:
    """Bytes of all tensors in a payload of nested dicts, lists and tuples."""
    if isinstance(payload, Tensor):
        return payload.numel() * payload.element_size()
    if isinstance(payload, dict):
        return sum(map(n_bytes, payload.values()))
    if isinstance(payload, (list, tuple)):
        return sum(map(n_bytes, payload))
    raise TypeError(
        f"cannot count the bytes of a {type(payload).__name__}: send tensors, or dicts and lists of them"
    )
