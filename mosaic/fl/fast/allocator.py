"""Keep freed memory in the process between training steps."""

import ctypes
import functools
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # the names that glibc's mallopt has for them


def keep_freed_memory() -> None:
    """What tensors leave stays with the process: given back and paged in anew it costs up to 3 of 20 ms a step."""
    if libc := glibc():
        libc.mallopt(MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(TRIM_THRESHOLD, 1 << 30)


def return_freed_memory() -> None:
    """... until a gauge is reset that shall not show what earlier work had."""
    if libc := glibc():
        libc.malloc_trim(0)


@functools.cache
def glibc() -> ctypes.CDLL | None:
    """glibc, or None on a system with another allocator."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
