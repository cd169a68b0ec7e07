"""Artifacts of stages as tensors and a JSON skeleton, with a checksum over both."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor


def checksum(data: bytes, skeleton: Any, bill: Any) -> str:
    """Of all that a hit returns: the tensors' file and, as JSON, the numbers beside them and the costs."""
    digest = hashlib.sha256(data)
    digest.update(json.dumps([skeleton, bill]).encode())
    return digest.hexdigest()


def pack(value: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """The artifact's JSON skeleton; its tensors go into ``tensors`` under their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        return {"tensor": path, "channels_last": value.dim() == 4 and not value.is_contiguous()}
    if isinstance(value, dict):
        return {"dict": {k: pack(v, tensors, f"{path}/{k}") for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [pack(v, tensors, f"{path}/{i}") for i, v in enumerate(value)]}
    return {"value": value}


def unpack(skeleton: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    if "tensor" in skeleton:
        tensor = tensors[skeleton["tensor"]]
        return (
            tensor.contiguous(memory_format=torch.channels_last)
            if skeleton["channels_last"]
            else tensor
        )
    if "dict" in skeleton:
        return {k: unpack(v, tensors) for k, v in skeleton["dict"].items()}
    if "list" in skeleton:
        return [unpack(v, tensors) for v in skeleton["list"]]
    return skeleton["value"]
