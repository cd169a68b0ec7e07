"""The names of devices and precisions, checked without PyTorch, whose import takes seconds."""

import re

from mosaic.fl.errors import InputError


def check_device_name(name: str) -> None:
    """Check a device's name, "auto" included; whether PyTorch sees the device is another question.

    Raises:
        InputError: If the name is unknown.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise InputError(f"unknown device {name!r}; possible: auto, cpu, cuda.")


def check_precision_name(name: str) -> None:
    """Check a precision's name, "auto" included.

    Raises:
        InputError: If the name is unknown.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise InputError(f"unknown precision {name!r}; possible: auto, fp32, bf16.")
