"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the number of cores that this process may use, at least 1.

    The smaller of its CPU affinity (``taskset``, SLURM) and the CPU limit of its control group
    (containers), which is rounded up to whole cores.

    Args:
        cgroups: where control groups are mounted.
        membership: the file that names this process's control groups.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        cores = os.cpu_count() or 1
    limits = _limits(cgroups, membership)
    return max(1, min([cores, *(math.ceil(limit) for limit in limits)]))


def _limits(cgroups: Path, membership: Path) -> list[float]:
    """The CPU limits, in cores, of the process's control groups and of all groups above them."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        # "0::/path" in version 2, "4:cpu,cpuacct:/path" in version 1
        _, controllers, path = line.split(":", 2)
        if not controllers:
            read, roots = _limit_v2, [cgroups]
        elif "cpu" in controllers.split(","):
            read, roots = _limit_v1, [cgroups / controllers, cgroups / "cpu"]
        else:
            continue
        for root in roots:
            group = root / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    limits.append(read(folder))
    return [limit for limit in limits if limit is not None]


def _limit_v2(folder: Path) -> float | None:
    """``cpu.max`` has "quota period" in microseconds, or "max period"."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no limit, or none that can be read
        return None


def _limit_v1(folder: Path) -> float | None:
    """``cpu.cfs_quota_us`` is -1 where there is no limit."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    if quota <= 0 or period <= 0:
        return None
    return quota / period
