"""A recorded cell beside the same cell run again: equal, within the tolerance, or different."""

import math

import pytest
import recorded

from benchmarks.verifying.compare import compare, is_measured, reasons
from benchmarks.verifying.draw import drawn
from benchmarks.verifying.run_again import Machine, judge
from benchmarks.verifying.tolerances import tolerance_of
from benchmarks.verifying.verdict import Verdict

ROW = {
    "status": "done",
    "round": 2,
    "accuracy": 0.8,
    "class_accuracy": "0.9 0.7",
    "diag_loss": None,
    "upload_bytes": 40,
    "method_s": 1.0,
    "stage_s_fedavg": 2.0,
    "device": "cpu",
    "processor": "A",
    "torch": "2",
    "commit": "abc",
    "data_free": True,
}


def test_times_and_texts_are_not_compared_and_numbers_are():
    again = ROW | {"method_s": 9.0, "stage_s_fedavg": 9.0, "commit": "def", "data_free": False}
    found = compare([ROW], [again])
    assert (found.n_equal, found.differences) == (4, [])

    again |= {"accuracy": 0.8125, "class_accuracy": "0.9 0.8", "upload_bytes": 41, "new": 1}
    found = compare([ROW], [again])
    assert [d.column for d in found.differences] == ["accuracy", "class_accuracy", "upload_bytes"]
    assert found.points == pytest.approx(1.25) and found.one_sided == ["new"]


def test_a_missing_number_is_not_equal_to_a_number():
    found = compare([ROW], [ROW | {"accuracy": None}])
    assert found.points == math.inf
    assert not compare([ROW | {"accuracy": None}], [ROW | {"accuracy": None}]).differences


def test_a_round_that_only_one_has_differs():
    found = compare([ROW | {"round": 1}, ROW], [ROW])
    assert [str(d) for d in found.differences] == ["round 1: round is 1 recorded, None now"]


def test_what_is_a_measured_number():
    assert is_measured("accuracy", None, 0.5) and not is_measured("peak_memory_bytes", 1, 2)
    assert not is_measured("data_free", True, False) and not is_measured("label", "a", "b")


def judged(recorded_row, now_row, **machine) -> Verdict:
    verdict = Verdict()
    cell = recorded.cell("fedavg")
    judge(cell, [recorded_row], [now_row], Machine(**machine), verdict)
    return verdict


def test_on_the_same_machine_the_last_bit_counts():
    assert judged(ROW, ROW).code == 0
    verdict = judged(ROW, ROW | {"accuracy": 0.8 + 1e-16 * 2, "commit": "def"})
    assert verdict.code == 1
    assert "1 of 4 numbers differ" in verdict.differences[0]
    assert "commit abc then, def now" in verdict.differences[0]


def test_on_another_machine_the_tolerance_of_the_method_counts():
    points = tolerance_of("fedavg").points
    within = ROW | {"accuracy": 0.8 + 0.99 * points / 100, "processor": "B"}
    beyond = ROW | {"accuracy": 0.8 + 1.01 * points / 100, "processor": "B"}
    verdict = judged(ROW, within)
    assert verdict.code == 0 and "processor A then, B now" in verdict.agreements[0]
    assert f"fedavg on another machine is {points:g} points" in verdict.agreements[0]
    assert judged(ROW, beyond).code == 1
    assert judged(ROW, within | {"processor": "A"}).code == 1
    assert judged(ROW, within | {"processor": "A"}, any_machine=True).code == 0


def test_a_cell_that_fails_now_was_not_checked():
    verdict = judged(ROW, {"status": "failed", "reason": "no memory"})
    assert verdict.code == 2 and "no memory" in verdict.unchecked[0]


def test_every_reason_is_named():
    now = ROW | {"processor": "B", "torch": "3", "commit": "def", "version": "9"}
    assert reasons(ROW, now) == [
        "processor A then, B now",
        "torch 2 then, 3 now",
        "version of this package not stated then, 9 now",
        "commit abc then, def now",
    ]


def test_mosaic_varies_more_than_fedavg_and_the_unmeasured_as_the_most_variable():
    assert tolerance_of("mosaic").points > 5 * tolerance_of("fedavg").points
    unknown = tolerance_of("mine")
    assert unknown.points >= tolerance_of("mosaic").points
    assert "not measured" in unknown.method and "proves little" in unknown.source


def test_the_draw_is_spread_over_methods_and_depends_on_the_seed_alone():
    cells = [recorded.cell("fedavg", seed=seed) for seed in range(9)]
    cells += [recorded.cell("local"), recorded.cell("scaffold", seed=5)]
    for seed in range(5):
        chosen = drawn(cells, 3, seed)
        assert {cell.method for cell in chosen} == {"fedavg", "local", "scaffold"}
        assert drawn(reversed(cells), 3, seed) == chosen
    assert len({tuple(cell.key for cell in drawn(cells, 3, seed)) for seed in range(9)}) > 1
    assert [cell.method for cell in drawn(cells, 5, 0)].count("fedavg") == 3
    assert len(drawn(cells, 99, 0)) == len(drawn(cells, None, 0)) == 11
    assert len(drawn([*cells, *cells], None, 0)) == 11
