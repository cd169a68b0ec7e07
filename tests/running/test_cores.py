"""The number of cores: the smaller of the process's affinity and its control groups' limits."""

import os

import pytest

from benchmarks.running.cores import available_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.fixture
def cores_of(tmp_path):
    """The cores of a process whose /proc/self/cgroup and control group files have these texts."""

    def cores(membership: str, **files: str) -> int:
        proc = tmp_path / "proc"
        proc.write_text(membership)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("-", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_cores(tmp_path / "cgroup", proc)

    return cores


def test_without_control_groups_it_is_the_affinity(tmp_path, monkeypatch):
    assert available_cores(tmp_path, tmp_path / "none") == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert available_cores(tmp_path, tmp_path / "none") == 2


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),  # rounded up
        ("10000 100000", 1),
        ("max 100000", 8),
        ("9900000 100000", 8),  # the affinity is smaller
        ("nonsense", 8),
    ],
)
def test_a_limit_of_version_2_is_rounded_up_to_whole_cores(cores_of, limit, cores):
    assert cores_of("0::/\n", **{"cpu-max": limit}) == cores


def test_a_limit_of_a_group_above_holds_too(cores_of):
    files = {"a__cpu-max": "300000 100000", "a__b__cpu-max": "max 100000"}
    assert cores_of("0::/a/b\n", **files) == 3


@pytest.mark.parametrize(("quota", "cores"), [("250000", 3), ("-1", 8)])
def test_a_limit_of_version_1_is_read_from_the_cpu_controller(cores_of, quota, cores):
    files = {"cpu__job__cpu-cfs_quota_us": quota, "cpu__job__cpu-cfs_period_us": "100000"}
    assert cores_of("5:memory:/job\n4:cpu,cpuacct:/job\n", **files) == cores
