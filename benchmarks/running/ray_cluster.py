"""Cells and stages as Ray tasks: ``--ray``. Where one runs changes no record.

A task is a cell, or a stage that cells wait for. It declares its cores, memory and share of a GPU.
Ray runs it again elsewhere if its worker or node dies, so no cell is lost with a node. A node that
sees the run's folder (one machine, or a shared file system) works in it, with the stage cache that
all nodes share. Any other node works in a folder of its own and computes there the stages that its
cells need; the files that a cell leaves come back with its outcome.
"""

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import platform
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from benchmarks.planning.cell import Cell
from benchmarks.planning.outside import load_plugin
from benchmarks.running.cores import available_cores
from benchmarks.running.processes import Watch, compute_stage
from benchmarks.running.records import files_of
from benchmarks.running.run_cell import run_cell
from benchmarks.running.schedule import Schedule, Stage, Work
from benchmarks.running.session import Outcome, Session, prepare
from benchmarks.running.stopping import hear_again
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole
from mosaic.fl.unfinished import unfinished

ROOT = Path(__file__).parents[2]
PACKAGES = ("mosaic", "baselines", "benchmarks")
MEMORY = 2 * 2**30  # bytes that a cell may need; the laptop scale's peak is 1.2e9
RETRIES = 5  # of a task whose worker or node died
DEFAULT_PORT = 6379
UNUSED_S = 7 * 24 * 3600  # after which a node removes the folder of another run

Files = dict[str, bytes]
"""Contents by path, relative to the suite's folder."""


def cells_on_ray(
    cells: Sequence[Cell], session: Session, address: str, watch: Watch, gpu_share: float = 1.0
) -> Generator[Outcome]:
    """Run cells on a cluster and yield each outcome as it ends, when its record is on this machine.

    Args:
        cells: in the order in which they are wanted.
        session: the folder, device and data of the run.
        address: "local" starts a cluster of this machine's cores, "auto" joins the one that runs
            on this machine, anything else is the address of one.
        watch: called when a cell has probably started: the first submitted are, as many as the
            cluster has room for.
        gpu_share: fraction of a GPU per cell, if the session's device is a GPU.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    with connected(address) as ray:
        gpus = gpus_of_task(session, gpu_share)
        n_at_once = room(ray, max((cell.task.threads for cell in cells), default=1), gpus)
        yield from cells_on_cluster(cells, session, ray, gpus, n_at_once, watch)


def cells_on_cluster(
    cells: Sequence[Cell],
    session: Session,
    ray: ModuleType,
    gpus: float,
    n_at_once: int,
    watch: Watch,
) -> Generator[Outcome]:
    """As :func:`cells_on_ray`, on a cluster that is connected.

    Args:
        cells, session, watch: as there.
        ray: connected to the cluster.
        gpus: GPU fraction of a task.
        n_at_once: how many tasks the cluster has room for.
    """
    with token_in(session.out / "cache") as token:
        prepare(session)  # stages that are in its cache are not scheduled
        schedule = Schedule(cells)
        needs = {
            "num_gpus": gpus,
            "memory": MEMORY,
            "max_retries": RETRIES,
        }
        task = ray.remote(_run_pickled)
        running: dict[Any, Work] = {}
        shown: set[str] = set()
        while schedule or running:
            while work := schedule.take():
                cell = work.cell if isinstance(work, Stage) else work
                submitted = task.options(num_cpus=cell.task.threads, **needs)
                running[submitted.remote(pickle.dumps(work), session, token, code())] = work
            waiting = [work for work in running.values() if isinstance(work, Cell)]
            for cell in waiting[:n_at_once]:
                if cell.key not in shown:
                    shown.add(cell.key)
                    watch(cell.key, cell.key, "on the cluster")
            (ended,), _ = ray.wait(list(running), num_returns=1)
            work = running.pop(ended)
            schedule.ended(work)
            outcome = _outcome(ray, ended, work, session)
            if outcome is not None:
                yield outcome


@contextlib.contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Be connected to a cluster; see :func:`connect`."""
    ray = connect(address)
    try:
        yield ray
    finally:
        ray.shutdown()


def gpus_of_task(session: Session, gpu_share: float) -> float:
    """The GPU fraction that a task needs: none on a CPU."""
    return gpu_share if session.device.startswith("cuda") else 0


def room(ray: ModuleType, threads: int, gpus: float) -> int:
    """How many tasks the cluster can run at the same time, at least 1.

    Args:
        ray: connected to the cluster.
        threads: cores of a task.
        gpus: GPU fraction of a task.
    """
    resources = ray.cluster_resources()
    if gpus:
        return max(1, int(resources.get("GPU", 0) / gpus))
    return max(1, int(resources["CPU"]) // threads)


@contextlib.contextmanager
def token_in(folder: Path) -> Iterator[Path]:
    """A file that exists in the block: a node that does not see it does not share the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with unfinished(folder / f"ray-{uuid.uuid4().hex}") as token:
        token.touch()
        yield token


def connect(address: str) -> ModuleType:
    """Connect to a cluster.

    Args:
        address: as for :func:`cells_on_ray`.

    Returns:
        The module ``ray``, connected.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise InputError(
            "--ray needs the package ray; install it: pip install 'mosaic-bench[cluster]'."
        ) from None
    try:
        if address not in ("local", "auto"):
            _check_answers(address)
        ray.init(
            address=address,
            # Ray itself would count the cores that taskset or a batch system does not allow
            num_cpus=available_cores() if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(
            f"no Ray cluster answers at {address!r} ({problem}); start one (ray start --head), "
            "give its address, or use --ray local."
        ) from None
    hear_again()  # Ray's own handlers print a stack, and shut it down step by step
    return ray


def _check_answers(address: str) -> None:
    """Raise OSError unless something listens at the address; Ray itself would try for minutes."""
    url = urlsplit(address if "://" in address else f"//{address}")
    socket.create_connection((url.hostname, url.port or DEFAULT_PORT), timeout=10).close()


@functools.cache
def code() -> str:
    """Return the hash of the project's own sources.

    A node that runs other code than the command would mix up records.
    """
    digest = hashlib.sha256()
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    for path in sorted(sources):
        digest.update(f"{path.relative_to(ROOT)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def other_code() -> str:
    """Return the reason why a node with other code than the command refuses to work."""
    return (
        f"node {platform.node()} has another version of this project than the command; "
        "install the same one there"
    )


def _run_pickled(
    pickled: bytes, session: Session, token: Path, wanted: str
) -> tuple[Outcome | None, Files]:
    """On a node: :func:`_run` a pickled cell or stage.

    The settings of a method from outside can be unpickled only after the method has been loaded.
    """
    for plugin in session.plugins:
        load_plugin(plugin)
    return _run(pickle.loads(pickled), session, token, wanted)


def _run(work: Work, session: Session, token: Path, wanted: str) -> tuple[Outcome | None, Files]:
    """On a node: run a cell, or compute a stage into the shared cache.

    Args:
        work: the cell or stage.
        session: the command's session.
        token: a file in the run's folder; a node that sees it shares the folder.
        wanted: the hash of the command's code.

    Returns:
        The outcome of a cell, None for a stage; and the cell's files if this node does not share
        the run's folder. Such a node computes stages within its cells only.
    """
    shared = token.exists()
    if isinstance(work, Stage):
        if shared and code() == wanted:
            prepare(session)
            compute_stage(work)
        return None, {}

    if code() != wanted:
        return Outcome(work, "failed", notes=(other_code(),)), {}
    if shared:
        prepare(session)
        return run_cell(work, session), {}

    node_session = replace(session, out=_node_folder(token.name))
    prepare(node_session)
    outcome = run_cell(work, node_session)
    folder = node_session.folder(work.suite)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder, work)}
    return outcome, files


def _node_folder(run: str) -> Path:
    """On a node that does not share the run's folder: its own one, for all cells of the run.

    Each user has others. Nobody here knows when a run has ended, so those of other runs are removed
    when no cell has begun in them for a week.
    """
    parent = Path(tempfile.gettempdir(), f"mosaic-bench-{os.getuid()}", "nodes")
    folder = parent / run
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for other in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if time.time() - other.stat().st_mtime > UNUSED_S:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def _outcome(ray: ModuleType, reference: Any, work: Work, session: Session) -> Outcome | None:
    """The outcome of a task that has ended, with the files that came back written."""
    try:
        outcome, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        if isinstance(work, Stage):  # the cells that need it compute it
            return None
        problem = str(error).strip().splitlines()[-1]
        reason = f"the cluster lost it {RETRIES + 1} times, or its harness failed: {problem}"
        return Outcome(work, "failed", notes=(reason,))
    if isinstance(work, Stage):
        return None
    folder = session.folder(work.suite)
    for name, content in files.items():  # the record is last: once it is there, all the others are
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return outcome
