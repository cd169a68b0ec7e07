"""What grows with the number of clients: seconds and peak memory of a round, and what Mosaic's server holds."""

import dataclasses
import math
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.lines import Line2D
from rich.table import Table

from benchmarks.planning.methods import METHODS
from benchmarks.reporting.figures.style import finish, new_panels, save
from mosaic.fl.cache import use_cache
from mosaic.fl.costs import peak_memory, reset_peak_memory
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.task import Task

ROUNDS = 3


def growth(task: Task, counts: Sequence[int], out: Path | None) -> Table:
    """FedAvg's rounds at each number of clients, in a process of their own; a figure in ``out``, where it is given."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = {
            n: pool.apply(_measured, (dataclasses.replace(task, n_clients=n),)) for n in counts
        }
    seconds, peaks = ([found[n][i] for n in counts] for i in (0, 1))
    power = exponent(counts, seconds)
    more = max(peaks) / found[min(counts)][1]
    title = f"{task.dataset}: seconds grow as N^{power:.2f}; peak memory {more:.2f} times that at {min(counts)} clients"
    table = Table("clients", "s a round", "ms a client", "peak MB", title=title)
    for n in counts:
        table.add_row(
            str(n), f"{found[n][0]:.2f}", f"{found[n][0] / n * 1e3:.0f}", f"{found[n][1] / 1e6:.0f}"
        )
    if out is not None:
        draw(task.dataset, counts, seconds, peaks, power, out)
    return table


def exponent(counts: Sequence[int], values: Sequence[float]) -> float:
    """The slope of log value over log count, by least squares; NaN for fewer than two counts."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0]) if len(counts) > 1 else math.nan


def draw(
    dataset: str,
    counts: Sequence[int],
    seconds: Sequence[float],
    peaks: Sequence[float],
    power: float,
    out: Path,
) -> None:
    figure, (left, right) = new_panels(["time", "memory"], (3.4, 2.8), "clients", "")
    left.loglog(counts, seconds, "o-", color="C0")
    fitted = math.exp(np.mean(np.log(seconds)) - power * np.mean(np.log(counts)))
    left.loglog(counts, [fitted * n**power for n in counts], ":", color="0.4")
    left.set_ylabel("seconds a round")
    right.semilogx(counts, [peak / 1e6 for peak in peaks], "o-", color="C0")
    right.set(ylabel="peak memory (MB)", ylim=(0, 1.2e-6 * max(peaks)))
    fit = Line2D([], [], ls=":", color="0.4", label=f"N^{power:.2f}")
    handles = [Line2D([], [], marker="o", label="measured"), fit]
    finish(figure, f"A FedAvg round on {dataset} as clients grow in number", handles)
    save(figure, out, f"growth_{dataset}")


def _measured(task: Task) -> tuple[float, int]:
    """The least seconds of a round, and the peak of the process's memory in bytes."""
    torch.set_num_threads(task.threads)
    open_federation(task)
    server, took = initial_model(task.spec, task.seed), []
    reset_peak_memory()
    for t in range(1, ROUNDS + 1):
        begun = time.perf_counter()
        server = average_round(task, server, client_updates(task, server, t), t)
        took.append(time.perf_counter() - begun)
    return min(took), peak_memory()


def mosaic_memory(n_clients: int = 100, model: str = "resnet18", base_width: int = 64) -> str:
    """The peak memory of all of Mosaic with CIFAR-100's shapes and the paper's networks, over few steps of few images.

    The pixels are synthetic: what is measured is what stays in memory, 100 experts above all, not what a batch takes.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        write_synthetic_cifar100(Path(scratch))
        peak, held = pool.apply(_mosaic_peak, (Path(scratch), n_clients, model, base_width))
    return (
        f"Mosaic, {n_clients} clients, 100 classes, {model} of base width {base_width}, synthetic pixels: peak memory "
        f"{peak / 2**30:.2f} GiB; a model is {held / 2**20:.1f} MiB, the experts {100 * held / 2**30:.2f} GiB"
    )


def write_synthetic_cifar100(root: Path, per_class: int = 20) -> None:
    """CIFAR-100's files, in its format, with random pixels."""
    folder = root / "cifar-100-python"
    folder.mkdir()
    for split in ("train", "test"):
        labels = list(range(100)) * per_class
        pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        (folder / split).write_bytes(
            pickle.dumps({"fine_labels": labels, "data": pixels}, protocol=2)
        )


def _mosaic_peak(folder: Path, n_clients: int, model: str, base_width: int) -> tuple[int, int]:
    use_data_dir(folder)
    use_cache(folder / "store")
    facts = {
        "rounds": 1,
        "score_every": 1,
        "steps": 1,
        "batch_size": 4,
        "min_samples": 2,
        "omega": 0.1,
    }
    task = Task(
        dataset="cifar100", n_clients=n_clients, model=model, base_width=base_width, **facts
    )
    config = METHODS["mosaic"].Config(
        generator_steps=1, generator_batch=4, distil_steps=1, distil_batch=16
    )
    reset_peak_memory()
    for _ in METHODS["mosaic"].run(task, config):
        pass
    return peak_memory(), sum(tensor.nbytes for tensor in initial_model(task.spec, 0).values())
