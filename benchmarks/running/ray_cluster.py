"""Cells and stages as Ray tasks: --ray. Where one runs changes no record, and no finished cell is lost with a node.

A task is a cell, or a stage that cells wait for, with its cores, memory and share of a GPU declared; Ray tries it again
elsewhere when its worker or node dies. A node that sees the run's folder (one machine, or a shared file system) works
in it, with the stage cache that all share; any other fills a folder of its own, computes there the stages that its
cells need, and what a cell leaves comes back with its outcome.
"""

import functools
import hashlib
import platform
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from benchmarks.planning.cell import Cell
from benchmarks.running.processes import fill
from benchmarks.running.records import files_of
from benchmarks.running.run_cell import run_cell
from benchmarks.running.schedule import Schedule, Stage, Work
from benchmarks.running.session import Outcome, Session, prepare
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole

ROOT, PACKAGES = Path(__file__).parents[2], ("mosaic", "baselines", "benchmarks")
MEMORY = 2 * 2**30  # bytes a cell may need; the laptop scale's peak is 1.2e9
RETRIES = 5  # of a task whose worker or node died
Watch = Callable[[str, str], None]
Files = dict[str, bytes]


def cells_on_ray(
    cells: Sequence[Cell], session: Session, address: str, watch: Watch, gpu_share: float = 1.0
) -> Iterator[Outcome]:
    """Run the cells on a cluster and yield each outcome as it comes, when its record is on this machine.

    ``address``: "local" starts a cluster of this machine's cores, "auto" joins the one that runs here, anything else is
    where one listens.
    """
    ray = connect(address)
    token = session.out / f".ray-{uuid.uuid4().hex}"
    try:
        token.touch()
        prepare(session)  # what is in the store is not planned
        schedule, running = Schedule(cells), {}
        gpus = gpu_share if session.device.startswith("cuda") else 0
        task, needs = (
            ray.remote(_work),
            {"num_gpus": gpus, "memory": MEMORY, "max_retries": RETRIES},
        )
        while schedule or running:
            while work := schedule.take():
                cores = (work.cell if isinstance(work, Stage) else work).task.threads
                running[
                    task.options(num_cpus=cores, **needs).remote(work, session, token, code())
                ] = work
                if isinstance(work, Cell):
                    watch(work.key, "on the cluster")
            (ended,), _ = ray.wait(list(running), num_returns=1)
            work = running.pop(ended)
            schedule.ended(work)
            outcome = _ended(ray, ended, work, session)
            if outcome:
                yield outcome
    finally:
        token.unlink(missing_ok=True)
        ray.shutdown()


def connect(address: str) -> ModuleType:
    """Ray, connected; InputError where it is not installed or nobody answers at the address."""
    try:
        import ray
    except ImportError:
        raise InputError(
            "--ray needs the package ray; install it: pip install 'mosaic-bench[cluster]'."
        ) from None
    try:
        if address not in ("local", "auto"):  # Ray itself would knock for minutes
            url = urlsplit(address if "://" in address else f"//{address}")
            socket.create_connection((url.hostname, url.port or 6379), timeout=10).close()
        ray.init(
            address=None if address == "local" else address,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster answers at {address!r} ({str(error).splitlines()[0]}); start one (ray start --head), give "
            "its address, or use --ray local."
        ) from None
    return ray


@functools.cache
def code() -> str:
    """The hash of the project's own sources: nodes that run other code than the command would mix up records."""
    sources = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    texts = [f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes() for path in sources]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def other_code() -> str:
    return f"node {platform.node()} has another version of this project than the command; install the same one there"


def _work(work: Work, session: Session, token: Path, wanted: str) -> tuple[Outcome | None, Files]:
    """On a node: run the cell, or fill the shared store with a stage. A cell's outcome, and its files where this node
    does not see the run's folder; such a node leaves stages to the cells."""
    shared = token.exists()
    if isinstance(work, Stage):
        if shared and code() == wanted:
            prepare(session)
            fill(work)
        return None, {}
    if code() != wanted:
        return Outcome(work, "failed", notes=(other_code(),)), {}
    here = (
        session
        if shared
        else replace(session, out=Path(tempfile.gettempdir()) / "mosaic-bench" / token.name)
    )
    here.out.mkdir(parents=True, exist_ok=True)
    prepare(here)
    outcome = run_cell(work, here)
    folder = here.folder(work.suite)
    found = [] if shared else files_of(folder, work)
    return outcome, {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _ended(ray: ModuleType, reference, work: Work, session: Session) -> Outcome | None:
    try:
        outcome, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        if isinstance(work, Stage):  # who needs it computes it
            return None
        told = f"the cluster lost it {RETRIES + 1} times, or its harness failed: {str(error).strip().splitlines()[-1]}"
        return Outcome(work, "failed", notes=(told,))
    for name, content in files.items():  # files_of names the record last: where it is, all else is
        path = session.folder(work.suite) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return outcome
