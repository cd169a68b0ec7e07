"""What a record says of its cell, of the machine and of the costs."""

import dataclasses
import functools
import platform
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.records import method_columns
from mosaic.fl.costs import Account
from mosaic.fl.data.loading import place_of
from mosaic.fl.device import device
from mosaic.fl.fast.fused_norm import library

TASK_COLUMNS = ("dataset", "omega", "n_clients", "seed", "precision", "threads")
"""Fields of Task that are columns by their own name; the others are ``task.<field>``."""


def identity(cell: Cell) -> dict[str, Any]:
    """Return the columns that say which cell a row is of, and which machine and versions ran it."""
    row: dict[str, Any] = {
        "suite": cell.suite,
        "cell": cell.key,
        "label": cell.label,
        "scale": cell.scale,
        "widths": cell.widths,
        "grid": cell.grid,
        "grid_settings": " ".join(cell.grid_settings),
        "tuned_settings": " ".join(cell.tuned_settings),
        "tuned_trials": cell.tuned_trials,
    }
    row |= method_columns(cell)
    row["status"] = "done"

    task = dataclasses.asdict(cell.task)
    del task["widths"]  # they are client_widths
    for field in TASK_COLUMNS:
        row[field] = task.pop(field)
    row["dataset"] = cell.dataset_name
    row["data"] = task.pop("data")
    row["test_data"] = cell.test_data
    row["data_place"] = place_of(cell.task.dataset)
    row |= cell.work.columns()
    widths = [cell.task.width(client) for client in range(cell.task.n_clients)]
    row["client_widths"] = " ".join(repr(width).removesuffix(".0") for width in widths)

    row |= _prefixed("task.", task)
    row |= _prefixed("config.", dataclasses.asdict(cell.config))
    return row | environment()


def _prefixed(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def environment() -> dict[str, str]:
    """Return the columns that name this process's hardware, libraries and code."""
    on_gpu = device().startswith("cuda")
    row = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "processor": _processor(),
        "kernels": "compiled" if library() and not on_gpu else "torch",
    }
    return row | _versions()


@functools.cache
def _versions() -> dict[str, str]:
    """The columns that name libraries and code, which do not change while a process runs."""
    return {
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "version": version(),
        "commit": _commit(),
    }


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def version() -> str:
    """The version of this package; empty where neither a checkout nor an installation says it."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():  # a checkout, which may not be what is installed
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    try:
        return metadata.version("mosaic-bench")
    except metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of this code, with "+" if files differ from it; empty outside a checkout.

    An installed package may lie below a checkout of something else, as ``.venv`` does.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # an error if it is not git's
        changed = _git("status", "--porcelain", "--untracked-files=no")
        commit = _git("rev-parse", "--short=12", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return ""
    if changed:
        return f"{commit}+"
    return commit


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def cost_row(account: Account) -> dict[str, float]:
    """Return the columns of costs: bytes, steps, seconds, FLOPs and peak memory so far.

    Args:
        account: the costs of one cell; they include the stages that it uses, also cached ones.
    """
    total = account.total()
    row: dict[str, float] = {
        "upload_bytes": sum(total.upload.values()),
        "download_bytes": sum(total.download.values()),
    }
    row |= _prefixed("upload_bytes_", total.upload)
    row |= _prefixed("download_bytes_", total.download)
    row |= _prefixed("steps_", total.steps)
    row |= _prefixed("flops_", total.step_flops)
    row["method_s"] = account.own.seconds
    row["stage_s"] = account.staged().seconds
    row["pass_s"] = total.pass_seconds
    row["cpu_s"] = total.cpu_seconds
    row |= _seconds_by_stage(account)
    row["flops"] = total.flops
    row["peak_memory_bytes"] = total.peak_memory
    return row


def _seconds_by_stage(account: Account) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for key, cost in account.stages.items():
        stage_name = key.split("/")[0]
        column = f"stage_s_{stage_name}"
        seconds[column] = seconds.get(column, 0.0) + cost.seconds
    return seconds
