"""The speed command: its parts run, and what it derives from the measurements is right."""

import dataclasses
import math

import pytest
from rich.console import Console

from benchmarks import roofline, speed
from benchmarks.growth import exponent, growth
from mosaic.fl.store import use_store
from mosaic.fl.task import Task

TASK = Task(n_train=400, n_clients=4, steps=1, batch_size=8, base_width=4)


@pytest.fixture(autouse=True)
def no_store():
    yield
    use_store(None)


def text(table) -> str:
    console = Console(width=200, record=True)
    console.print(table)
    return console.export_text()


def test_the_exponent_of_a_power_is_found():
    assert exponent([10, 100, 1000], [2.0, 20.0, 200.0]) == pytest.approx(1.0)
    assert exponent([10, 40], [3.0, 6.0]) == pytest.approx(0.5) and math.isnan(exponent([10], [1.0]))


def test_rounds_of_more_clients_are_measured_and_drawn(tmp_path):
    told = text(growth(dataclasses.replace(TASK, omega=100.0), [2, 8], tmp_path))
    assert "seconds grow as N^" in told and (tmp_path / "growth.png").stat().st_size > 5000


def test_no_hot_loop_beats_the_matrix_product(monkeypatch):
    small = {"rounds": 1, "score_every": 1, "steps": 1, "base_width": 32}
    laptop = dataclasses.replace(roofline.SCALES["laptop"], task=small)
    monkeypatch.setitem(roofline.SCALES, "laptop", laptop)
    kept = roofline.loops
    cheap = ("local training", "distillation", "scoring")
    monkeypatch.setattr(roofline, "loops", lambda task: {k: v for k, v in kept(task).items() if k in cheap})
    lines = [line for line in text(roofline.roofline(TASK)).splitlines() if "%" in line]
    assert len(lines) == 3
    for line in lines:
        share = float(line.split("│")[3].strip().rstrip("%"))
        assert 0 < share < 100


def test_an_unknown_part_is_a_wrong_command(capsys):
    with pytest.raises(SystemExit) as ended:
        speed.main(["round"])
    assert ended.value.code == 2 and "possible: rounds, kernels" in capsys.readouterr().err
