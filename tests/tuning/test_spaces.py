"""The space that is searched, and grids in suites."""

import pandas as pd
import pytest
from oracle import METHODS_BEFORE

from benchmarks import run as benchmark
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import METHODS
from benchmarks.planning.suite import read_suite
from benchmarks.tuning.space import space_of, text_of, within


def test_ranges_are_of_the_fields_type_and_logarithmic_where_they_are_wide():
    space = space_of(
        "dense", ["epochs=10:40", "latent=1:1000", "student=average,random", "batch=32,64"]
    )
    assert {key: text_of(d) for key, d in space.items()} == {
        "weight_bn": "0.01:10.0:log", "weight_adv": "0.1:10.0:log", "student_lr": "0.0001:0.1:log",
        "temperature": "1.0:20.0", "epochs": "10:40", "latent": "1:1000:log", "student": "average,random",
        "batch": "32,64",
    }  # fmt: skip
    assert (
        text_of(space_of("dense", ["temperature=1:2:log"], ["temperature"])["temperature"])
        == "1.0:2.0:log"
    )
    assert list(space_of("dense", fixed={"weight_bn": 1, "weight_adv": 1, "student_lr": 1})) == [
        "temperature"
    ]
    drawn = within(
        space,
        {**METHODS["dense"].Config().__dict__, "epochs": 200, "temperature": 0.5, "batch": 256},
    )
    assert (drawn["epochs"], drawn["temperature"], drawn["batch"], drawn["student"]) == (
        40,
        1.0,
        64,
        "average",
    )


@pytest.mark.parametrize("method", METHODS_BEFORE)
def test_every_methods_space_can_be_tuned_and_contains_its_defaults(method):
    if METHODS[method].SPACE:
        space, default = space_of(method), METHODS[method].Config()
        values = {key: getattr(default, key) for key in space}
        assert within(space, values) == values


SWEEP = """
question = "Which?"
omega = [1.0]
clients = [2]
[[method]]
name = "fedavg"
[[method]]
name = "oracle"
set = { kind = "good" }
grid = { a = [-1, 3], b = [1.0, 10.0], draw = [0, 1] }
"""


def test_a_grid_in_a_suite_is_a_cell_a_point_and_a_heat_map(tmp_path, capsys):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    more = [
        "--suite",
        str(tmp_path / "sweep.toml"),
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--device",
        "cpu",
        "--out",
    ]
    tiny = [f"--set=task.{text}" for text in ("rounds=1", "steps=1", "base_width=4")]
    assert benchmark.main([*more, str(tmp_path), *tiny]) == 0
    folder = tmp_path / "sweep"
    rows = pd.read_csv(folder / "records.csv")
    points = rows[rows["method"] != "fedavg"]
    assert len(points) == 2 * 8 and set(points["method"]) == {
        f"oracle a={a} b={b} draw={d}" for a in (-1, 3) for b in (1.0, 10.0) for d in (0, 1)
    }
    best = points.groupby("method")["accuracy"].mean()
    assert best.filter(like="a=3 b=10.0").min() == 1 == best.max()
    assert set(points["config.a"]) == {-1, 3}
    drawn = {path.name for path in (folder / "figures").glob("heatmap*")}
    assert drawn == {f"heatmap_oracle_digits_omega1_2_full.{ending}" for ending in ("png", "svg")}
    capsys.readouterr()
    assert benchmark.main([*more, str(tmp_path), *tiny, "--dry-run", "--methods", "oracle"]) == 0
    assert "16 cells, 16 done" in capsys.readouterr().out


def test_the_lambda_sweep_spells_out_its_grid():
    name, suite = read_suite("lambda_sweep")
    cells = [
        cell for cell in expand_cells(name, suite, "quick", seeds=[0]) if cell.method == "mosaic"
    ]
    lambdas = {(cell.config.lambda_e, cell.config.lambda_d, cell.config.lambda_i) for cell in cells}
    assert len(cells) == len(lambdas) == 27 and (1, 5, 10) in lambdas
