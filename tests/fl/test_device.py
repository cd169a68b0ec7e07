"""Memory that a step frees stays with the process, until the process returns it."""

import subprocess
import sys

import pytest

from mosaic.fl.fast.allocator import glibc

FAULTS = """
import resource
import torch
from mosaic.fl.device import use_device
from mosaic.fl.fast.allocator import return_freed_memory


def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        activations = [torch.zeros(1 << 20) for _ in range(4)]  # 16 MiB: 4,096 pages
        del activations
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


use_device("cpu")
faults(10)
kept = faults(5)
return_freed_memory()
print(kept, faults(1))
"""  # counts the pages that the system had to give to the process


@pytest.mark.skipif(glibc() is None, reason="not glibc")
def test_freed_memory_stays_with_the_process_and_can_be_returned():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, returned = map(int, run.stdout.split())
    assert kept < 100  # of 20,480 pages that are written
    assert returned >= 8  # 16 MiB are 4,096 pages, or 8 where the system takes huge ones
