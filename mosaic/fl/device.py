"""The device that computes, and the precision. Only the latter is part of a task's identity."""

import contextlib
import functools

import torch

from mosaic.fl.device_names import check_device_name, check_precision_name
from mosaic.fl.errors import InputError
from mosaic.fl.fast.allocator import keep_freed_memory

_device = "cpu"


def use_device(name: str) -> str:
    """Choose the device on which all further work is done.

    Args:
        name: "cpu", "cuda", one of several GPUs ("cuda:1"), or "auto" for a GPU if there is one.

    Returns:
        The device chosen.

    Raises:
        InputError: If the name is unknown, or PyTorch sees no such device.
    """
    global _device

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    check_device_name(name)
    if name.startswith("cuda"):
        _use_gpu(name)
    _device = name

    # Repeatable runs, in true float32: by default cuDNN's convolutions are neither
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False

    keep_freed_memory()
    return name


def _use_gpu(name: str) -> None:
    """Make a GPU PyTorch's current one: what measures time and memory asks about that one."""
    if not torch.cuda.is_available():
        raise InputError(
            f"device {name!r} was given, but PyTorch sees no CUDA device; use --device cpu."
        )
    n = torch.cuda.device_count()
    index = torch.device(name).index or 0
    if index >= n:
        raise InputError(
            f"device {name!r} was given, but PyTorch sees {n} CUDA devices; use one of cuda:0 to "
            f"cuda:{n - 1}."
        )
    torch.cuda.set_device(index)


def planned_device(name: str) -> str:
    """The device that a run would use, for a plan: it need not be there, and is not used.

    Args:
        name: As for :func:`use_device`.

    Raises:
        InputError: If the name is unknown.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_device_name(name)
    return name


def device() -> str:
    """The device in use: "cpu" until :func:`use_device` is called."""
    return _device


@functools.cache
def fast_bfloat16(name: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if name.startswith("cuda"):
        # A plan may be for another machine's GPU: those of 2020 and later are fast in it.
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_precision(name: str, on: str | None = None) -> str:
    """The precision of a task, from the one that a user gave.

    Args:
        name: "fp32", "bf16", or "auto" for bf16 if the device is faster in it and fp32 otherwise.
        on: The device. None: the one in use.

    Returns:
        "fp32" or "bf16".

    Raises:
        InputError: If the name is unknown.
    """
    check_precision_name(name)
    if name == "auto":
        return "bf16" if fast_bfloat16(on or _device) else "fp32"
    return name


def autocast(precision: str) -> contextlib.AbstractContextManager:
    """A context in which matrix products and convolutions are computed in a task's precision.

    Args:
        precision: "bf16" for bfloat16 products, with weights and sums in float32; "fp32" changes
            nothing.
    """
    device_type = _device.split(":")[0]
    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=precision == "bf16")
