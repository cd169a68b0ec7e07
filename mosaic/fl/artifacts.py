"""Results of stages as files: their tensors, a JSON skeleton of the rest, and a checksum."""

import hashlib
import json
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    SafetensorError,
)
"""The errors of reading a stored result that is damaged, half there or of a later version."""


def checksum(data: bytes, skeleton: Any, costs: Any) -> str:
    """The SHA-256 of everything that reading a stored result gives.

    Args:
        data: The file of tensors.
        skeleton: The rest of the result, from :func:`pack`.
        costs: The costs stored with it.
    """
    digest = hashlib.sha256(data)
    digest.update(json.dumps([skeleton, costs]).encode())
    return digest.hexdigest()


def pack(value: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """Split a result into tensors and a skeleton that JSON can hold.

    Args:
        value: Tensors, numbers and texts in nested dicts, lists and tuples.
        tensors: Receives the tensors of ``value``, by their path in it.
        path: The path of ``value`` in the whole result; "" for all of it.

    Returns:
        The skeleton, in which a tensor is replaced by its path.
    """
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        channels_last = value.dim() == 4 and not value.is_contiguous()
        return {"tensor": path, "channels_last": channels_last}

    if isinstance(value, dict):
        return {"dict": {key: pack(item, tensors, f"{path}/{key}") for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [pack(item, tensors, f"{path}/{i}") for i, item in enumerate(value)]}
    return {"value": value}


def unpack(skeleton: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """Put a result together again; the inverse of :func:`pack`, with lists for tuples."""
    if "tensor" in skeleton:
        tensor = tensors[skeleton["tensor"]]
        if skeleton["channels_last"]:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    if "dict" in skeleton:
        return {key: unpack(item, tensors) for key, item in skeleton["dict"].items()}
    if "list" in skeleton:
        return [unpack(item, tensors) for item in skeleton["list"]]
    return skeleton["value"]
