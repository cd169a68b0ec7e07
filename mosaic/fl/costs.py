"""What a computation costs: seconds, bytes by direction and kind, FLOPs and peak memory.

An :class:`Account` is open while a method or a stage runs. The channel, the training loops and the
cache add to the innermost open account. The cost of a stage is charged once to each method that
uses it, also if its result came from the cache.
"""

import contextlib
import contextvars
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from mosaic.fl.fast.allocator import return_freed_memory


@dataclass
class Cost:
    """What one method or stage has cost.

    Attributes:
        seconds: Elapsed time.
        cpu_seconds: Processor time over all threads. Other work on the machine does not add to it.
        pass_seconds: The part of ``seconds`` that was spent in forward and backward passes. On a
            GPU it is the time until they are queued: no step waits for its result, and what they
            take longer is in ``seconds`` alone.
        steps: Batches that went through networks, by kind of work; "train" are the clients' local
            steps.
        step_flops: Floating-point operations of these steps, by kind of work. A multiply-add
            counts as two.
        upload: Bytes sent to the server by kind of payload, the sum over all clients.
        download: Bytes sent by the server by kind of payload, the sum over all clients.
        peak_memory: The most memory in use at any time, in bytes.
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
        """Floating-point operations of all kinds of work."""
        return sum(self.step_flops.values())

    def add(self, other: "Cost") -> None:
        """Add another cost to this one; of peak memory, the larger one counts."""
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.pass_seconds += other.pass_seconds
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        _add_counts(self.steps, other.steps)
        _add_counts(self.step_flops, other.step_flops)
        _add_counts(self.upload, other.upload)
        _add_counts(self.download, other.download)


def _add_counts(counts: dict[str, int], more: dict[str, int]) -> None:
    for kind, n in more.items():
        counts[kind] = counts.get(kind, 0) + n


@dataclass
class Account:
    """The costs of a method or a stage.

    Attributes:
        own: What it has cost itself.
        stages: What each stage has cost that it used, by the stage's "name/key". A stage that is
            used twice is here once.
    """

    own: Cost = field(default_factory=Cost)
    stages: dict[str, Cost] = field(default_factory=dict)
    _since: tuple[float, float] | None = None  # when the clock was started: elapsed, processor

    @property
    def running(self) -> bool:
        """Whether the clock is running."""
        return self._since is not None

    def start(self) -> None:
        """Start the clock and the measurement of peak memory."""
        reset_peak_memory()
        self._since = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Stop the clock and add what has passed since ``start`` to the account's own cost."""
        if self._since is None:
            return
        synchronise()
        self.own.seconds += time.perf_counter() - self._since[0]
        self.own.cpu_seconds += time.process_time() - self._since[1]
        self.own.peak_memory = max(self.own.peak_memory, peak_memory())
        self._since = None

    def staged(self) -> Cost:
        """The sum over the stages used."""
        return _sum(self.stages.values())

    def total(self) -> Cost:
        """The sum of the account's own cost and of the stages used."""
        return _sum([self.own, *self.stages.values()])


def _sum(costs: Iterable[Cost]) -> Cost:
    total = Cost()
    for cost in costs:
        total.add(cost)
    return total


_open: contextvars.ContextVar[Account | None] = contextvars.ContextVar("account", default=None)


def account() -> Account:
    """The innermost open account. If none is open, a new one, so that code works without any."""
    return _open.get() or Account()


@contextlib.contextmanager
def opened(new: Account) -> Iterator[Account]:
    """Make ``new`` the innermost open account; the clock of the one around it stops meanwhile."""
    outer = _open.get()
    paused = outer if outer is not None and outer.running else None
    if paused is not None:
        paused.stop()

    token = _open.set(new)
    new.start()
    try:
        yield new
    finally:
        new.stop()
        _open.reset(token)
        if paused is not None:
            paused.start()


_flops: dict[tuple, float] = {}
"""FLOPs per image, by what :func:`metered` was called with."""


@contextlib.contextmanager
def metered(*what: object, items: int = 1) -> Iterator[None]:
    """Count a block as one step, with its FLOPs and its seconds, in the open account.

    On a GPU the seconds are those until the block's work is queued (:attr:`Cost.pass_seconds`).

    PyTorch's FLOP counter is slow, so it runs only in the first block with the same ``what``. Later
    blocks are charged the same FLOPs per image, which is exact as long as ``what`` holds everything
    that the FLOPs depend on apart from the number of images. Two different computations with equal
    ``what`` would be charged the same.

    Args:
        what: First the kind of work, a key of :attr:`Cost.steps`. Then everything that determines
            the FLOPs per image: the networks' shapes, the images' shape, the loss.
        items: The number of images that the block handles; its FLOPs are proportional to it.
    """
    begun = time.perf_counter()
    if what in _flops:
        yield
    else:
        with FlopCounterMode(display=False) as counter:
            yield
        _flops[what] = counter.get_total_flops() / items

    kind = str(what[0])
    own = account().own
    own.pass_seconds += time.perf_counter() - begun
    _add_counts(own.steps, {kind: 1})
    _add_counts(own.step_flops, {kind: round(_flops[what] * items)})


def synchronise() -> None:
    """Wait for the GPU, so that a clock measures work that is done and not work that is queued."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def peak_memory() -> int:
    """The most memory this process has used since the last reset, in bytes.

    On a GPU it is the GPU's memory. On a system that keeps no maximum, it is the memory in use now.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()

    # Linux keeps the maximum of the resident memory, in kilobytes
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return psutil.Process().memory_info().rss


def reset_peak_memory() -> None:
    """Let the measurement of peak memory begin now."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        return

    # Memory that earlier work has freed, but not returned, would be counted
    return_freed_memory()
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as marks:
        marks.write("5")  # Linux: resets VmHWM
