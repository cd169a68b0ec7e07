"""What a record says of its cell, of the machine and of the costs."""

import dataclasses
import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.records import method_columns
from mosaic.fl.costs import Account
from mosaic.fl.device import device
from mosaic.fl.fast.fused_norm import library


def identity(cell: Cell) -> dict[str, Any]:
    """What a row says of its cell, and of the machine and versions that ran it."""
    task = dataclasses.asdict(cell.task)
    top = {
        name: task.pop(name)
        for name in ("dataset", "omega", "n_clients", "seed", "precision", "threads")
    }
    del task["widths"]
    return {
        **{
            "suite": cell.suite,
            "cell": cell.key,
            "method": cell.label,
            "scale": cell.scale,
            "widths": cell.widths,
        },
        **method_columns(cell),
        **{
            "status": "done",
            **top,
            "client_work": cell.client_work,
            "server_work": cell.server_work,
        },
        **{
            "client_widths": " ".join(f"{cell.task.width(i):g}" for i in range(cell.task.n_clients))
        },
        **{f"task.{k}": v for k, v in task.items()},
        **{f"config.{k}": v for k, v in dataclasses.asdict(cell.config).items()},
        **environment(),
    }


@functools.cache
def environment() -> dict[str, str]:
    return {
        "device": torch.cuda.get_device_name() if device().startswith("cuda") else "cpu",
        "processor": _processor(),
        "kernels": "compiled" if library() and not device().startswith("cuda") else "torch",
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the code that runs, with "+" where files differ from it; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        git = functools.partial(
            subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        changed = git(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
        return git(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip() + (
            "+" if changed else ""
        )
    except (OSError, subprocess.SubprocessError):
        return ""


def cost_row(account: Account) -> dict[str, float]:
    total, staged = account.total(), account.staged()
    return {
        "upload_bytes": sum(total.upload.values()),
        "download_bytes": sum(total.download.values()),
        **{f"upload_bytes_{kind}": n for kind, n in total.upload.items()},
        **{f"download_bytes_{kind}": n for kind, n in total.download.items()},
        **{f"steps_{kind}": n for kind, n in total.steps.items()},
        **{f"flops_{kind}": n for kind, n in total.step_flops.items()},
        "method_s": account.own.seconds,
        "stage_s": staged.seconds,
        "pass_s": total.pass_seconds,
        "cpu_s": total.cpu_seconds,
        **_seconds_by_stage(account),
        "flops": total.flops,
        "peak_memory_bytes": total.peak_memory,
    }


def _seconds_by_stage(account: Account) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for key, cost in account.stages.items():
        column = f"stage_s_{key.split('/')[0]}"
        seconds[column] = seconds.get(column, 0.0) + cost.seconds
    return seconds
