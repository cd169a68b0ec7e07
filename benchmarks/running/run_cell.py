"""run_cell: drives a method, stops its clock, scores its snapshots, writes the record."""

import dataclasses
import functools
import json
import platform
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from benchmarks.metrics.accuracy import accuracies, score
from benchmarks.metrics.domain import references
from benchmarks.metrics.fidelity import fidelity
from benchmarks.planning.cell import METHODS, Cell
from benchmarks.running.checks import warnings_of
from benchmarks.running.records import done_file, failed_file, read_rows, told_of, write_rows
from mosaic.fl.cache import use_store, watch_stages, write_whole
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.readers import fingerprint, load, to_uint8, use_data_dir
from mosaic.fl.device import device, use_device
from mosaic.fl.fast.fused_norm import library
from mosaic.fl.rng import generator
from mosaic.fl.task import Skip, Snapshot

PICTURES = 8  # images a client in the figure of generated ones


@dataclass(frozen=True)
class Session:
    """What a run of the command has that determines no number: where things lie and what they run on."""

    out: Path
    device: str = "cpu"
    data_dir: Path | None = None
    inception: str = "auto"

    def folder(self, suite: str) -> Path:
        return self.out / suite


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: done, failed or skipped; its last accuracy; what a person should read of it."""

    cell: Cell
    status: str
    accuracy: float = float("nan")
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def prepare(session: Session) -> None:
    """Make this process work on the session's device, data and stage store."""
    use_device(session.device)
    use_data_dir(session.data_dir)
    use_store(session.out / "cache")


def run_cell(cell: Cell, session: Session, announce: Callable[[str], None] = lambda stage: None) -> Outcome:
    """Run one cell and write its record, unless another run did so meanwhile. A failing method raises nothing here."""
    folder = session.folder(cell.suite)
    done, failed = done_file(folder, cell), failed_file(folder, cell)
    done.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(cell.task.threads)
    watch_stages(announce)
    begun = time.perf_counter()
    with FileLock(done.with_suffix(".lock")), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read_rows(done)
        if rows is None:
            try:
                rows = list(_rows(cell, session))
                write_rows(done, rows)
                failed.unlink(missing_ok=True)
            except Skip as reason:
                rows = [identity(cell) | {"status": "skipped", "reason": str(reason)}]
                write_rows(done, rows)
            except Exception as error:  # a failing cell never stops the others
                text = traceback.format_exc()
                rows = [identity(cell) | {"status": "failed", "reason": f"{type(error).__name__}: {error}"}]
                write_rows(failed, [rows[0] | {"traceback": text}])
    seconds = time.perf_counter() - begun
    last = rows[-1]
    notes = [str(w.message) for w in caught] + [text for text in (last.get("reason"), last.get("warnings")) if text]
    return Outcome(cell, last["status"], last.get("accuracy") or float("nan"), seconds, tuple(notes))


def _rows(cell: Cell, session: Session) -> list[dict[str, Any]]:
    """One row a scored snapshot. The method's clock runs while it computes and stands still while it is scored."""
    task, account = cell.task, Account()
    method = METHODS[cell.method].run(task, cell.config)
    rows = []
    for snapshot in on_the_clock(method, account):
        if task.scored(snapshot.round):
            rows.append(identity(cell) | cost_row(account) | _scores(cell, snapshot))
    if not rows:
        raise RuntimeError(f"{cell.method} yielded no snapshot of a scored round")
    rows[-1] |= _of_the_last(cell, session, snapshot)
    rows[-1]["warnings"] = warnings_of(rows[-1])
    certificate = open_federation(task).partition.certificate()
    path = session.folder(cell.suite) / "partitions" / f"{certificate['sha256'][:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(certificate | {"dataset": task.dataset, "n_clients": task.n_clients}).encode())
    for row in rows:
        row["partition"] = certificate["sha256"][:16]
        row["data"] = fingerprint(load(task.dataset, "train"))
        row |= {
            f"partition_{k}": certificate[k]
            for k in ("moved", "mean_total_variation", "mean_classes_per_client", "gini")
        }
    return _selected(rows)


def on_the_clock(method: Iterator[Snapshot], account: Account) -> Iterator[Snapshot]:
    """The method's snapshots; the account is open between two of them and closed while one is looked at."""
    while True:
        with opened(account):
            snapshot = next(method, None)
        if snapshot is None:
            return
        yield snapshot


def identity(cell: Cell) -> dict[str, Any]:
    """What a row says of its cell, and of the machine and versions that ran it."""
    task = dataclasses.asdict(cell.task)
    top = {name: task.pop(name) for name in ("dataset", "omega", "n_clients", "seed", "precision", "threads")}
    del task["widths"]
    return {
        **{"suite": cell.suite, "cell": cell.key, "method": cell.label, "scale": cell.scale, "widths": cell.widths},
        **told_of(cell),
        **{"status": "done", **top, "client_work": cell.client_work, "server_work": cell.server_work},
        **{"client_widths": " ".join(f"{cell.task.width(i):g}" for i in range(cell.task.n_clients))},
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
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the code that runs, with "+" where files differ from it; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        git = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10)
        changed = git(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
        return git(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip() + ("+" if changed else "")
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


def _scores(cell: Cell, snapshot: Snapshot) -> dict[str, Any]:
    """Accuracy of a snapshot on the full test set and on the held-out validation images."""
    test, federation = load(cell.task.dataset, "test"), open_federation(cell.task)
    on_test = score(snapshot.predict, test.images, test.labels, test.n_classes, device=device())
    row = {
        "round": snapshot.round,
        "accuracy": on_test.accuracy,
        "class_accuracy": " ".join(f"{a:.4f}" for a in on_test.class_accuracy.tolist()),
    }
    if len(federation.validation_labels):
        held_out = federation.validation_images, federation.validation_labels, test.n_classes
        row["accuracy_validation"] = score(snapshot.predict, *held_out).accuracy
    return row


def _of_the_last(cell: Cell, session: Session, snapshot: Snapshot) -> dict[str, Any]:
    """What is measured once a cell: the probes' accuracies, the generators' fidelity, the diagnostics."""
    test = load(cell.task.dataset, "test")
    probed = accuracies(snapshot.probes, test.images, test.labels, device=device())
    row: dict[str, Any] = {f"accuracy_{name}": accuracy for name, accuracy in probed.items()}
    row |= {f"diag_{name}": float(value) for name, value in snapshot.diagnostics.items()}
    if snapshot.synthesise is not None:
        notes = []
        scored = references(cell.task, session.inception, cell.fidelity_n)
        n = max(over.n for _, over in scored)
        images, drawn_by = snapshot.synthesise(n, generator(cell.task.seed, "fidelity"))
        for extractor, over in scored:
            row |= fidelity(extractor, images, over, seed=0)
            notes += [over.warning] if over.warning else []
        row["notes"] = " ".join(notes)
        _keep_pictures(cell, session, images, drawn_by)
    return row


def _keep_pictures(cell: Cell, session: Session, images: torch.Tensor, drawn_by: torch.Tensor) -> None:
    """A few generated images of each client, and a few of its real ones, for the report's figure."""
    generated, real, clients = [], [], []
    for shard in open_federation(cell.task).shards:
        mine = images[(drawn_by == shard.client).to(images.device)][:PICTURES]
        if len(mine) == PICTURES and shard.size >= PICTURES:
            clients.append(shard.client)
            generated.append(to_uint8(mine).cpu().numpy())
            chosen = torch.randperm(shard.size, generator=generator(cell.task.seed, "pictures", shard.client))[
                :PICTURES
            ]
            real.append(shard.images[shard.indices[chosen.to(shard.indices.device)]].cpu().numpy())
    if not clients:  # the method's generator is the server's: no client's name on its images
        clients, generated = [-1], [to_uint8(images[: 8 * PICTURES]).cpu().numpy()]
    folder = session.folder(cell.suite) / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{cell.key}.npz"
    np.savez_compressed(aside, clients=clients, generated=np.stack(generated), real=np.stack(real) if real else [])
    aside.replace(folder / f"{cell.key}.npz")


def _selected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark the rows that are the last, the best on validation data, and (oracle, to compare with) on the test set."""
    marks: dict[int, list[str]] = {len(rows) - 1: ["last"]}
    for name, column in (("validation", "accuracy_validation"), ("oracle", "accuracy")):
        if column in rows[0]:
            best = max(range(len(rows)), key=lambda i: rows[i][column])
            marks.setdefault(best, []).append(name)
    return [row | {"selection": "+".join(marks.get(i, []))} for i, row in enumerate(rows)]
