"""A suite's folder with two cells, as a run leaves it."""

import numpy as np
import pytest

from benchmarks.running.certificates import write_certificate
from benchmarks.running.record_file import write_rows
from mosaic.fl.cache import use_cache

KEY, FAILED = "0" * 16, "f" * 16


@pytest.fixture
def suite(tmp_path, tiny_cell):
    """One cell of two scored rounds with generated images, and one that failed."""
    folder = tmp_path / "out" / "mine"
    name, _ = write_certificate(tiny_cell("fedavg"), folder)
    names = {"suite": "mine", "label": "fed/avg ü", "method": "fedavg", "dataset": "digits"}
    row = {"cell": KEY, "omega": 0.1, "n_clients": 3, "widths": "full", "seed": 4}
    row |= names | {"status": "done", "task.rounds": 2, "config.lr": 0.5, "torch": "2.9"}
    rows = [
        row | {"round": 1, "selection": "", "accuracy": 0.25, "upload_bytes": 8},
        row | {"round": 2, "selection": "last", "accuracy": 0.5, "upload_bytes": 16},
    ]
    rows[-1] |= {"method_s": 2.5, "stage_s": 60.0}
    rows[-1] |= {"partition": name, "fid_domain": 7.5, "diag_x": float("inf")}
    write_rows(folder / "cells" / f"{KEY}.jsonl", rows)
    (folder / "pictures").mkdir()
    images = np.zeros((3, 2, 1, 8, 8), dtype=np.uint8)
    path = folder / "pictures" / f"{KEY}.npz"
    np.savez_compressed(path, clients=np.arange(3), generated=images, real=images)

    failed = row | {"cell": FAILED, "status": "failed", "reason": "no memory", "seed": 5}
    write_rows(folder / "cells" / f"{FAILED}.failed.json", [failed])
    yield folder
    use_cache(None)
