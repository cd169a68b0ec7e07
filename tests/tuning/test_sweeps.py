"""Grids of settings in suites: one cell per point, and heat maps."""

import pandas as pd

from benchmarks import run as benchmark
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.suite import read_suite

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


def test_a_grid_in_a_suite_gives_a_cell_per_point_and_a_heat_map(tmp_path, capsys):
    suite = tmp_path / "sweep.toml"
    suite.write_text(SWEEP)
    options = [
        f"--suite={suite}",
        "--seeds=2",
        "--jobs=1",
        "--device=cpu",
        f"--out={tmp_path}",
        "--set=task.rounds=1",
        "--set=task.steps=1",
        "--set=task.base_width=4",
    ]
    assert benchmark.main(options) == 0

    # 8 points, on two seeds each.
    rows = pd.read_csv(tmp_path / "sweep" / "records.csv")
    points = rows[rows["label"] != "fedavg"]
    labels = set()
    for a in (-1, 3):
        for b in (1.0, 10.0):
            labels |= {f"oracle a={a} b={b} draw={draw}" for draw in (0, 1)}
    assert len(points) == 2 * 8
    assert set(points["label"]) == labels
    assert set(points["method"]) == {"oracle"}
    assert set(points["config.a"]) == {-1, 3}

    # The optimum is in the grid, and the only points without errors are there.
    means = points.groupby("label")["accuracy"].mean()
    assert means.filter(like="a=3 b=10.0").min() == 1 == means.max()

    figures = {path.name for path in (tmp_path / "sweep" / "figures").glob("heatmap*")}
    name = "heatmap_oracle_digits_omega1_2_full"
    assert figures == {f"{name}.png", f"{name}.svg"}

    capsys.readouterr()
    assert benchmark.main([*options, "--dry-run", "--methods", "oracle"]) == 0
    assert "16 cells, 16 done" in capsys.readouterr().out


def test_the_lambda_sweep_has_a_cell_per_point_of_its_grid():
    name, suite = read_suite("lambda_sweep")
    cells = expand_cells(name, suite, "quick", seeds=[0])
    configs = [cell.config for cell in cells if cell.method == "mosaic"]
    lambdas = {(config.lambda_e, config.lambda_d, config.lambda_i) for config in configs}
    assert len(configs) == len(lambdas) == 27
    assert (1, 5, 10) in lambdas
