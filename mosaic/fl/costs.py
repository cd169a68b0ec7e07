"""What a computation cost: seconds, bytes by direction and kind, floating-point operations, peak memory.

An :class:`Account` is open while a method or a stage runs; the channel, the training loops and the store write into
the innermost one. A stage's cost is charged once to whoever asks for it, also where its result came from the cache.
"""

import contextlib
import contextvars
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from mosaic.fl.fast.allocator import return_freed_memory


@dataclass
class Cost:
    """Seconds; bytes by kind, all clients together; steps and their FLOPs (a multiply-add is two); peak memory.

    ``cpu_seconds`` are the processor's, over all threads: other work on the machine does not lengthen them.
    ``steps`` counts the batches that went through networks, by the kind of work ("train": clients' local steps);
    ``pass_seconds`` are those spent in these passes themselves, forwards and backwards. ``peak_memory`` is in bytes.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    pass_seconds: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)
    step_flops: dict[str, int] = field(default_factory=dict)
    upload: dict[str, int] = field(default_factory=dict)
    download: dict[str, int] = field(default_factory=dict)
    peak_memory: int = 0

    @property
    def flops(self) -> int:
        return sum(self.step_flops.values())

    def add(self, other: "Cost") -> None:
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.pass_seconds += other.pass_seconds
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        for ledger in ("steps", "step_flops", "upload", "download"):
            mine = getattr(self, ledger)
            for kind, n in getattr(other, ledger).items():
                mine[kind] = mine.get(kind, 0) + n


@dataclass
class Account:
    """Own costs, and those of each stage used so far (by its key: a stage is charged once)."""

    own: Cost = field(default_factory=Cost)
    stages: dict[str, Cost] = field(default_factory=dict)
    _since: tuple[float, float] | None = None

    def start(self) -> None:
        """Start the clock and the memory gauge."""
        reset_peak_memory()
        self._since = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Stop the clock; what ran since ``start`` is the account's own."""
        if self._since is not None:
            synchronise()
            self.own.seconds += time.perf_counter() - self._since[0]
            self.own.cpu_seconds += time.process_time() - self._since[1]
            self.own.peak_memory = max(self.own.peak_memory, peak_memory())
            self._since = None

    def staged(self) -> Cost:
        """The sum over the stages used."""
        return _sum(self.stages.values())

    def total(self) -> Cost:
        return _sum([self.own, *self.stages.values()])


def _sum(costs) -> Cost:
    total = Cost()
    for cost in costs:
        total.add(cost)
    return total


_open: contextvars.ContextVar[Account | None] = contextvars.ContextVar("account", default=None)


def account() -> Account:
    """The innermost open account; a throw-away one where none is open, so that library use needs no ceremony."""
    return _open.get() or Account()


@contextlib.contextmanager
def opened(new: Account) -> Iterator[Account]:
    """Make ``new`` the innermost account; the clock of the one around it stands still meanwhile."""
    around = _open.get()
    running = around is not None and around._since is not None
    if running:
        around.stop()
    token = _open.set(new)
    new.start()
    try:
        yield new
    finally:
        new.stop()
        _open.reset(token)
        if running:
            around.start()


_flops: dict[tuple, float] = {}


@contextlib.contextmanager
def metered(*what, items: int = 1) -> Iterator[None]:
    """Add one step of the kind ``what[0]`` and its FLOPs, for a block that handles ``items`` images, to the account.

    ``what`` names the work and every shape it depends on but the number of images, in which FLOPs are linear.
    PyTorch's counter watches the first block of a name; the later ones are charged by it, without its overhead.
    """
    begun = time.perf_counter()
    if what in _flops:
        yield
    else:
        with FlopCounterMode(display=False) as counter:
            yield
        _flops[what] = counter.get_total_flops() / items
    own = account().own
    own.pass_seconds += time.perf_counter() - begun
    kind = what[0]
    own.steps[kind] = own.steps.get(kind, 0) + 1
    own.step_flops[kind] = own.step_flops.get(kind, 0) + round(_flops[what] * items)


def synchronise() -> None:
    """Wait for the accelerator, so that a clock reads work done and not work queued."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def peak_memory() -> int:
    """The most memory that this process held since the last reset, in bytes: the accelerator's where one is used."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return (
            psutil.Process().memory_info().rss
        )  # no high-water mark on this system: what is held now


def reset_peak_memory() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        return
    return_freed_memory()
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as marks:
        marks.write("5")  # Linux: resets VmHWM
