"""Keep freed memory in the process between training steps (glibc only)."""

import ctypes
import functools
import sys

# The numbers of two parameters of glibc's mallopt, from malloc.h
MMAP_THRESHOLD = -3
TRIM_THRESHOLD = -1


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors.

    Given back to the system and paged in again, it costs up to 3 of the 20 ms of a step.
    """
    libc = glibc()
    if libc:
        libc.mallopt(MMAP_THRESHOLD, 32 << 20)  # bytes
        libc.mallopt(TRIM_THRESHOLD, 1 << 30)


def return_freed_memory() -> None:
    """Give freed memory back to the system, so that a measured peak is not that of earlier work."""
    libc = glibc()
    if libc:
        libc.malloc_trim(0)


@functools.cache
def glibc() -> ctypes.CDLL | None:
    """The C library, or None on a system with another allocator than glibc's."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        return libc
    return None
