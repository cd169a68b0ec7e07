"""Records of a small suite, as reports get them."""

from collections.abc import Callable

import pandas as pd
import pytest

ACCURACIES = {  # at both omegas: seeds 0, 1, 2
    "centralised": [0.9, 0.91, 0.92],
    "local": [0.30, 0.31, 0.33],
    "fedavg_x": [0.60, 0.61, 0.622],
    "dense": [0.55, None, 0.57],
    "mosaic": [0.718, 0.73, 0.742],
}


@pytest.fixture(scope="session")
def make_records() -> Callable[..., pd.DataFrame]:
    """Makes records: two omegas; dense fails at seed 1; FedRolex is skipped everywhere.

    Only Mosaic has generators, and warnings.
    """
    return _records


def _records(n_seeds: int = 3) -> pd.DataFrame:
    rows = []
    for omega in (1.0, 0.1):
        for label, values in ACCURACIES.items():
            for seed, accuracy in enumerate(values[:n_seeds]):
                rows.append(_names(label, omega, seed) | _result(label, omega, seed, accuracy))
        skipped = {"status": "skipped", "reason": "one width | nothing to roll"}
        rows.append(_names("fedrolex", omega, 0) | skipped)
    return pd.DataFrame(rows)


def _names(label: str, omega: float, seed: int) -> dict:
    return {
        "label": label,
        "omega": omega,
        "seed": seed,
        "cell": f"{label}{omega}{seed}",
        "status": "done",
        "dataset": "digits",
        "n_clients": 4,
        "widths": "full",
        "scale": "quick",
        "reason": "",
    }


def _result(label: str, omega: float, seed: int, accuracy: float | None) -> dict:
    if accuracy is None:
        return {"status": "failed", "reason": "loss > 1e9 & 100 % wrong_"}
    result = {
        "round": 3,
        "selection": "last+validation+oracle",
        "accuracy": accuracy,
        "upload_bytes": 4.2e7,
        "download_bytes": 5e5,
        "method_s": 90.0,
        "stage_s": 10.0,
        "warnings": "",
        "partition": f"{omega}-{seed}",
        "processor": "Xeon_A",
    }
    if label == "mosaic":
        result |= {
            "fid_domain": 45.1,
            "fid_domain_floor": 2.1,
            "is_domain": 6.0,
            "is_domain_real": 8.0,
            "fidelity_n": 5000,
            "warnings": f"{20 + seed}% near-duplicates",
        }
    return result
