"""What the two commands share."""

import os
from pathlib import Path

from rich.console import Console

from mosaic.fl.errors import InputError

console = Console()


def listed(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def count(option: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{option} is {text!r}; it must be a whole number of at least 1.")
    return int(text)


def writable(out: Path) -> Path:
    """The folder, made where it is not there; InputError where nothing can be written to it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to --out {out}: {error.strerror}; give a folder of your own."
        ) from None
    return out.resolve()
