"""report.html of many cells: seconds, memory and bytes."""

import os
import sys
import time
from itertools import product

import pandas as pd
import pytest
from made_folders import made_records, write_folder

from benchmarks.report import main


def many(n_labels: int, n_omegas: int, n_seeds: int) -> pd.DataFrame:
    omegas = tuple(0.01 * (i + 1) for i in range(n_omegas))
    frames = []
    for dataset, widths in product(("digits", "mnist"), ("full", "mixed")):
        accuracies = {}
        for k in range(n_labels):
            values = [0.5 + 0.01 * k + 0.003 * ((7 * k + 5 * seed) % 11) for seed in range(n_seeds)]
            accuracies["mosaic" if k == 0 else f"method {k}"] = values
        frame = made_records(accuracies, omegas, dataset=dataset, widths=widths)
        frames.append(frame.assign(cell=frame["cell"] + dataset + widths))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.slow
def test_ten_thousand_cells_take_under_a_minute_and_two_gigabytes(tmp_path):
    write_folder(many(25, 10, 10), tmp_path / "many")
    assert len(list((tmp_path / "many" / "cells").iterdir())) == 10_000
    start = time.perf_counter()
    # a process of its own: this one has the memory of all tests before
    command = [sys.executable, "-m", "benchmarks.report", str(tmp_path / "many")]
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, used = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert time.perf_counter() - start < 60
    if sys.platform == "linux":
        assert used.ru_maxrss < 2_000_000  # KiB


@pytest.mark.slow
def test_the_page_of_360_cells_is_at_most_8_megabytes(tmp_path):
    write_folder(many(15, 3, 2), tmp_path / "suite")
    assert main([str(tmp_path / "suite")]) == 0
    assert (tmp_path / "suite" / "report.html").stat().st_size < 8e6
