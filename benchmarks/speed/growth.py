"""What grows with the number of clients: seconds and memory of a round, and Mosaic's memory."""

import dataclasses
import math
import multiprocessing
import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter
from rich.table import Table

from benchmarks.planning.methods import METHODS
from benchmarks.reporting.figures.look import save
from benchmarks.reporting.figures.style import finish, new_panels
from benchmarks.speed.output import scratch_folder
from mosaic.fl.cache import use_cache
from mosaic.fl.costs import peak_memory, reset_peak_memory
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.task import Task

ROUNDS = 3  # timed rounds per number of clients; the fastest one counts


@dataclasses.dataclass(frozen=True)
class Growth:
    """What was measured, one value per number of clients."""

    dataset: str
    counts: Sequence[int]  # numbers of clients
    seconds: list[float]  # per round
    peaks: list[int]  # peak memory of the process, bytes

    @property
    def power(self) -> float:
        """p, if seconds grow as N^p."""
        return exponent(self.counts, self.seconds)


def growth(task: Task, counts: Sequence[int], out: Path | None) -> Table:
    """Measure FedAvg's rounds at each number of clients, in a process of their own.

    Args:
        task: The task; its number of clients is replaced.
        counts: Numbers of clients.
        out: A folder for the figure. None: no figure.

    Returns:
        A table of seconds per round, milliseconds per client and peak memory (MB).
    """
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        results = [pool.apply(_measure, (dataclasses.replace(task, n_clients=n),)) for n in counts]
    measured = Growth(
        dataset=task.dataset,
        counts=counts,
        seconds=[seconds for seconds, _ in results],
        peaks=[peak for _, peak in results],
    )
    if out is not None:
        draw(measured, out)
    return _table(measured)


def _table(measured: Growth) -> Table:
    peak_of_fewest = measured.peaks[measured.counts.index(min(measured.counts))]
    ratio = max(measured.peaks) / peak_of_fewest
    title = (
        f"{measured.dataset}: seconds grow as N^{measured.power:.2f}; "
        f"peak memory {ratio:.2f} times that at {min(measured.counts)} clients"
    )
    table = Table("clients", "s per round", "ms per client", "peak MB", title=title)
    rows = zip(measured.counts, measured.seconds, measured.peaks, strict=True)
    for n, seconds, peak in rows:
        table.add_row(
            str(n),
            f"{seconds:.2f}",
            f"{seconds / n * 1e3:.0f}",
            f"{peak / 1e6:.0f}",
        )
    return table


def exponent(counts: Sequence[int], values: Sequence[float]) -> float:
    """The slope of log value over log count, by least squares; NaN for fewer than two counts."""
    if len(counts) < 2:
        return math.nan
    slope, _ = np.polyfit(np.log(counts), np.log(values), 1)
    return float(slope)


def draw(measured: Growth, out: Path) -> None:
    """Write the figure growth_<data set>: seconds per round and peak memory over clients."""
    counts = measured.counts
    power = measured.power
    figure, (left, right) = new_panels(["time", "memory"], (3.4, 2.8), "clients", "")

    # The fitted power law goes through the mean of the logarithms.
    left.loglog(counts, measured.seconds, "o-", color="C0")
    factor = math.exp(np.mean(np.log(measured.seconds)) - power * np.mean(np.log(counts)))
    left.loglog(counts, [factor * n**power for n in counts], ":", color="0.4")
    left.set_ylabel("seconds per round")

    right.semilogx(counts, [peak / 1e6 for peak in measured.peaks], "o-", color="C0")
    right.set(ylabel="peak memory (MB)", ylim=(0, 1.2e-6 * max(measured.peaks)))
    for axis in (left.xaxis, left.yaxis, right.xaxis):  # no mathematics, which LOOK switches off
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}" if axis is left.yaxis else NullFormatter())

    handles: list[Line2D | Patch] = [
        Line2D([], [], marker="o", label="measured"),
        Line2D([], [], ls=":", color="0.4", label=f"N^{power:.2f}"),
    ]
    finish(figure, f"A FedAvg round on {measured.dataset} as clients grow in number", handles)
    save(figure, out, f"growth_{measured.dataset}")


def _measure(task: Task) -> tuple[float, int]:
    """The seconds of the fastest of ROUNDS rounds, and the process's peak memory in bytes."""
    torch.set_num_threads(task.threads)
    open_federation(task)
    server = initial_model(task.spec, task.seed)
    reset_peak_memory()
    seconds: list[float] = []
    for t in range(1, ROUNDS + 1):
        begun = time.perf_counter()
        server = average_round(task, server, client_updates(task, server, t), t)
        seconds.append(time.perf_counter() - begun)
    return min(seconds), peak_memory()


def mosaic_memory(n_clients: int = 100, model: str = "resnet18", base_width: int = 64) -> str:
    """Measure the peak memory of all of Mosaic, with the paper's networks and CIFAR-100's shapes.

    It takes few steps of few images with synthetic pixels. What is measured is what stays in
    memory, above all the 100 experts, not what a batch needs.

    Args:
        n_clients: Number of clients.
        model: The clients' network.
        base_width: Its base width.

    Returns:
        One sentence: the peak (GiB), the size of a model (MiB), the size of the experts (GiB).
    """
    with (
        scratch_folder() as scratch,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        write_synthetic_cifar100(scratch)
        arguments = (scratch, n_clients, model, base_width)
        peak, model_size = pool.apply(_mosaic_peak, arguments)
    return (
        f"Mosaic, {n_clients} clients, 100 classes, {model} of base width {base_width}, "
        f"synthetic pixels: peak memory {peak / 2**30:.2f} GiB; "
        f"a model is {model_size / 2**20:.1f} MiB, the experts {100 * model_size / 2**30:.2f} GiB"
    )


def write_synthetic_cifar100(root: Path, per_class: int = 20) -> None:
    """Write CIFAR-100's two files in its format, with random pixels.

    Args:
        root: The data folder.
        per_class: Images per class and file.
    """
    folder = root / "cifar-100-python"
    folder.mkdir()
    for split in ("train", "test"):
        labels = list(range(100)) * per_class
        pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        content = {"fine_labels": labels, "data": pixels}
        (folder / split).write_bytes(pickle.dumps(content, protocol=2))


def _mosaic_peak(folder: Path, n_clients: int, model: str, base_width: int) -> tuple[int, int]:
    """The peak memory of Mosaic in this process, and the size of a model, both in bytes."""
    use_data_dir(folder)
    use_cache(folder / "store")
    task = Task(
        dataset="cifar100",
        omega=0.1,
        min_samples=2,
        n_clients=n_clients,
        model=model,
        base_width=base_width,
        rounds=1,
        score_every=1,
        steps=1,
        batch_size=4,
    )
    config = METHODS["mosaic"].Config(
        generator_steps=1, generator_batch=4, distil_steps=1, distil_batch=16
    )
    reset_peak_memory()
    for _ in METHODS["mosaic"].run(task, config):
        pass
    model_size = sum(tensor.nbytes for tensor in initial_model(task.spec, 0).values())
    return peak_memory(), model_size
