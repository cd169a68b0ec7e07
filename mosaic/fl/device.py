"""Where tensors live, and in which precision they are multiplied. Only the latter is part of a task's identity."""

import contextlib
import functools

import torch

from mosaic.fl.errors import InputError
from mosaic.fl.fast.allocator import keep_freed_memory

_device = "cpu"


def use_device(name: str) -> str:
    """Compute on "cpu", "cuda" (or "cuda:1"), or on the best there is with "auto". Returns the one chosen."""
    global _device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; possible: auto, cpu, cuda.")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device {name!r} was asked for, but PyTorch sees no CUDA device here; use --device cpu."
        )
    _device = name
    # Two runs have the same numbers, and float32 is float32: cuDNN's convolutions would be TensorFloat-32 by default
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    keep_freed_memory()
    return name


def device() -> str:
    return _device


@functools.cache
def fast_bfloat16(name: str) -> bool:
    """Does this processor multiply bfloat16 faster than float32?"""
    if name.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_precision(name: str) -> str:
    """ "fp32" or "bf16"; "auto": bf16 where the device is fast in it."""
    if name == "auto":
        return "bf16" if fast_bfloat16(_device) else "fp32"
    if name not in ("fp32", "bf16"):
        raise InputError(f"unknown precision {name!r}; possible: auto, fp32, bf16.")
    return name


def autocast(precision: str) -> contextlib.AbstractContextManager:
    """Matrix products and convolutions in bfloat16 where ``precision`` says so; weights and sums stay float32."""
    return torch.autocast(_device.split(":")[0], dtype=torch.bfloat16, enabled=precision == "bf16")
