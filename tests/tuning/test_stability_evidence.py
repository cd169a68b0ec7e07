"""The numbers behind stability.md, against numbers worked out by hand."""

from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest

from benchmarks.tuning.plan import DEFAULT
from benchmarks.tuning.stability_evidence import Evidence, gather_evidence

ACCURACIES = {
    DEFAULT: [0.50, 0.60, 0.70],
    "trial 1": [0.51, 0.62, 0.73],
    "trial 2": [0.52, 0.64, 0.76],
}


def evidence_of(method: str, **facts) -> Evidence:
    """Of settings of one method on three fresh seeds."""
    rows = []
    for label, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            where = {"dataset": "digits", "n_clients": 2, "widths": "full", "omega": 0.1}
            result = {"accuracy": accuracy, "accuracy_validation": accuracy}
            row = where | result | {"label": label, "method": method, "seed": seed}
            row |= {"status": "done", "selection": "last", "method_s": 1.0, "stage_s": 1.0}
            rows.append(row | facts)
    plan: Any = SimpleNamespace(directions=["maximize"], objectives=["accuracy"])
    return gather_evidence(optuna.create_study(), plan, [], pd.DataFrame(rows))


@pytest.mark.parametrize(
    "method, facts",
    [
        ("fedprox", {"data_free": True, "needs": ""}),
        ("feddf", {"data_free": False, "needs": "proxy data"}),
        ("fens", {"data_free": False, "needs": "all models at test"}),
    ],
)
def test_p_is_corrected_over_the_settings_whether_the_method_competes_or_not(method, facts):
    """Differences .01 .02 .03, and twice that: t = 2 sqrt(3), two degrees of freedom, p = .0742."""
    tests = evidence_of(method, **facts).tests
    assert tests["p"].tolist() == pytest.approx([0.0742, 0.0742], abs=1e-4)
    assert tests["p_holm"].tolist() == pytest.approx([0.1484, 0.1484], abs=1e-4)
