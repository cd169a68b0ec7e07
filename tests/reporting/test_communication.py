"""Accuracy against megabytes and seconds over a link: hand numbers."""

import math

import pandas as pd
import pytest

from benchmarks.reporting.figures.suite_figures import write_figures
from benchmarks.reporting.pages.communication import (
    communication_page,
    megabytes_to,
    over_link,
    targets_of,
    wants_communication,
)

SETTING = ("digits", 10, "full")


def records(
    method: str, accuracies: list[float], mb_per_round: float, seed: int = 0
) -> pd.DataFrame:
    rows = []
    for t, accuracy in enumerate(accuracies, start=1):
        row = {
            "suite": "communication",
            "dataset": "digits",
            "n_clients": 10,
            "widths": "full",
            "omega": 0.1,
        }
        row |= {
            "label": method,
            "seed": seed,
            "cell": f"{method}{seed}",
            "status": "done",
            "round": t,
        }
        row |= {
            "accuracy": accuracy,
            "selection": "last" if t == len(accuracies) else "",
            "method": method,
        }
        row |= {"upload_bytes": t * mb_per_round * 5e5, "download_bytes": t * mb_per_round * 5e5}
        rows.append(row | {"method_s": 2.0 * t, "stage_s": 1.0, "reason": "", "warnings": ""})
    return pd.DataFrame(rows)


def test_seconds_over_a_link_by_hand():
    """100 MB of ten clients: 10 MB = 80 Mbit each: 8 s at 10 Mbit/s, 0.8 s at 100; and 3 s of
    computation.
    """
    rows = records("fedavg", [0.5], 100.0)
    assert over_link(rows, 10).tolist() == pytest.approx([11.0])
    assert over_link(rows, 100).tolist() == pytest.approx([3.8])
    assert over_link(rows, math.inf).tolist() == pytest.approx([3.0])


def test_megabytes_to_an_accuracy_are_those_of_the_first_round_that_reached_it():
    """Means over two seeds by round: .4, .6, .55: 60 % at round 2, with 2 x 10 MB; 70 % never."""
    rows = pd.concat(
        [records("fedavg", [0.3, 0.5, 0.6], 10.0), records("fedavg", [0.5, 0.7, 0.5], 10.0, seed=1)]
    )
    assert megabytes_to(rows, 0.6) == pytest.approx(20.0) and megabytes_to(
        rows, 0.3
    ) == pytest.approx(10.0)
    assert math.isnan(megabytes_to(rows, 0.7))


def test_targets_are_those_that_two_methods_reach():
    rows = pd.concat(
        [records("a", [0.2, 0.9], 1.0), records("b", [0.42], 1.0), records("c", [0.17], 1.0)]
    )
    assert targets_of(rows) == [25, 30, 35, 40]
    assert targets_of(records("a", [0.9], 1.0)) == []


def test_the_page_has_a_row_per_method_with_the_traffic_to_each_target():
    rows = pd.concat(
        [
            records("fedavg", [0.5, 0.8], 10.0),
            records("fedcvae", [0.72], 4.0),
            records("local", [0.3], 0.0),
        ]
    )
    page = communication_page(rows, SETTING)
    assert page.header[2:] == [
        *("accuracy", "up MB", "down MB", "compute s", "s at 100 Mbit/s", "s at 10 Mbit/s"),
        *("MB to 40 %", "MB to 50 %", "MB to 60 %", "MB to 70 %"),
    ]
    texts = {row[1]: row[2:] for row in page.rows}
    assert texts["fedavg"] == [
        "80.0",
        "10.0",
        "10.0",
        "5.0",
        "5.2",
        "6.6",
        "10.0",
        "10.0",
        "20.0",
        "20.0",
    ]
    assert texts["fedcvae"][-4:] == ["4.0"] * 4 and texts["local"][-4:] == ["–"] * 4
    assert list(texts) == ["local", "fedavg", "fedcvae"]


@pytest.mark.slow
def test_the_links_have_figures_in_this_suite_alone(tmp_path):
    rows = pd.concat([records("fedavg", [0.5, 0.8], 10.0), records("fedcvae", [0.72], 4.0)])
    names = {path.stem for path in write_figures(rows, tmp_path)}
    assert {"accuracy_vs_seconds_at_10mbits", "accuracy_vs_seconds_at_100mbits"} <= names
    others = {path.stem for path in write_figures(rows.assign(suite="heterogeneity"), tmp_path)}
    assert not any("mbits" in name for name in others)


def test_any_suite_can_ask_for_the_page():
    rows = records("fedavg", [0.5], 1.0).assign(suite="mine")
    assert not wants_communication(rows)
    assert wants_communication(rows, pages=["communication"])
