"""How the cost of a round grows with the number of clients: seconds, peak memory, and the exponent of their growth."""

import dataclasses
import math
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.lines import Line2D
from rich.table import Table

from benchmarks.plots import finish, new_panels, save
from mosaic.fl.costs import peak_memory, reset_peak_memory
from mosaic.fl.federation import open_federation
from mosaic.fl.models import initial
from mosaic.fl.stages import average_round, updates
from mosaic.fl.task import Task
from mosaic.fl.training import spec_of

ROUNDS = 3


def growth(task: Task, counts: Sequence[int], out: Path | None) -> Table:
    """FedAvg's rounds at each number of clients, in a process of their own; a figure in ``out``, where it is given."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = {n: pool.apply(_measured, (dataclasses.replace(task, n_clients=n),)) for n in counts}
    seconds, peaks = ([found[n][i] for n in counts] for i in (0, 1))
    power = exponent(counts, seconds)
    more = max(peaks) / found[min(counts)][1]
    title = f"seconds grow as N^{power:.2f}; peak memory {more:.2f} times that at {min(counts)} clients"
    table = Table("clients", "s a round", "ms a client", "peak MB", title=title)
    for n in counts:
        table.add_row(str(n), f"{found[n][0]:.2f}", f"{found[n][0] / n * 1e3:.0f}", f"{found[n][1] / 1e6:.0f}")
    if out is not None:
        draw(counts, seconds, peaks, power, out)
    return table


def exponent(counts: Sequence[int], values: Sequence[float]) -> float:
    """The slope of log value over log count, by least squares; NaN for fewer than two counts."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0]) if len(counts) > 1 else math.nan


def draw(counts: Sequence[int], seconds: Sequence[float], peaks: Sequence[float], power: float, out: Path) -> None:
    figure, (left, right) = new_panels(["time", "memory"], (3.4, 2.8), "clients", "")
    left.loglog(counts, seconds, "o-", color="C0")
    fitted = math.exp(np.mean(np.log(seconds)) - power * np.mean(np.log(counts)))
    left.loglog(counts, [fitted * n**power for n in counts], ":", color="0.4")
    left.set_ylabel("seconds a round")
    right.semilogx(counts, [peak / 1e6 for peak in peaks], "o-", color="C0")
    right.set(ylabel="peak memory (MB)", ylim=(0, 1.2e-6 * max(peaks)))
    fit = Line2D([], [], ls=":", color="0.4", label=f"N^{power:.2f}")
    handles = [Line2D([], [], marker="o", label="measured"), fit]
    finish(figure, "A FedAvg round as clients grow in number", handles)
    save(figure, out, "growth")


def _measured(task: Task) -> tuple[float, int]:
    """The least seconds of a round, and the peak of the process's memory in bytes."""
    torch.set_num_threads(task.threads)
    open_federation(task)
    server, took = initial(spec_of(task), task.seed), []
    reset_peak_memory()
    for t in range(1, ROUNDS + 1):
        begun = time.perf_counter()
        server = average_round(task, server, updates(task, server, t), t)
        took.append(time.perf_counter() - begun)
    return min(took), peak_memory()
