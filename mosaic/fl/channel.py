"""The network between clients and server: everything that is sent goes through here and is counted.

``upload`` and ``download`` return their payload unchanged and add its size to the open account.
The size is that of the tensors, for one client and one transfer, without framing or compression.
"""

from typing import TypeVar

from torch import Tensor

from mosaic.fl.costs import account

Payload = TypeVar("Payload")


def upload(payload: Payload, kind: str = "model") -> Payload:
    """One client sends ``payload`` to the server.

    Args:
        payload: Tensors, or nested dicts, lists and tuples of them.
        kind: What it is, in tables: "model", "generator", "prototypes", "counts", "data", ...

    Returns:
        The payload, unchanged.
    """
    _count(account().own.upload, payload, kind)
    return payload


def download(payload: Payload, kind: str = "model") -> Payload:
    """The server sends ``payload`` to one client; the arguments are those of :func:`upload`."""
    _count(account().own.download, payload, kind)
    return payload


def _count(bytes_by_kind: dict[str, int], payload: object, kind: str) -> None:
    bytes_by_kind[kind] = bytes_by_kind.get(kind, 0) + n_bytes(payload)


def n_bytes(payload: object) -> int:
    """The size in bytes of all tensors in a payload.

    Raises:
        TypeError: If there is anything but tensors in nested dicts, lists and tuples.
    """
    if isinstance(payload, Tensor):
        return payload.numel() * payload.element_size()
    if isinstance(payload, dict):
        return sum(n_bytes(item) for item in payload.values())
    if isinstance(payload, (list, tuple)):
        return sum(n_bytes(item) for item in payload)
    raise TypeError(
        f"cannot count the bytes of a {type(payload).__name__}: "
        "send tensors, or dicts and lists of them"
    )
