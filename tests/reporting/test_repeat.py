"""The settings file and the command line of the report page run a cell again."""

import shlex

import pandas as pd
import pytest
from made_folders import made_records

from benchmarks.planning.cell import Cell
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.quick_checks import check_names
from benchmarks.planning.settings import read_settings
from benchmarks.planning.suite import read_suite
from benchmarks.reporting.page import repeat
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.repeat import command, commands, settings_file
from benchmarks.reporting.page.sources import FOLDER, distinct
from benchmarks.run import parse
from benchmarks.running.record import identity
from benchmarks.running.suite_folder import name_with_budget

GIVEN = {"datasets": ["digits"], "omega": [0.1], "seeds": [1], "widths": ["full"]}


def rows_of(cells: list[Cell]) -> pd.DataFrame:
    return pd.DataFrame([identity(cell) for cell in cells])


def again(line: str, settings: str, tmp_path) -> list[Cell]:
    """The cells of a command that the page shows, read as the command line reads it."""
    (tmp_path / "settings.toml").write_text(settings, encoding="utf-8")
    options = parse(shlex.split(line)[3:])
    read = read_settings([], [tmp_path / "settings.toml"])
    check_names(options.suite, options.scale, [options.methods], read)
    name, suite = read_suite(options.suite)
    assert (options.omega, options.seeds, options.widths) == ("0.1", "1,", ["full"])
    name = name_with_budget(name, options.budget)
    own = {"settings": read, "methods": [options.methods], "budget": options.budget}
    return expand_cells(name, suite, options.scale, **own, **GIVEN)


@pytest.mark.parametrize("budget", ["equal", "paper"])
def test_a_record_gives_the_key_of_its_cell_also_where_settings_were_changed(tmp_path, budget):
    name, suite = read_suite("heterogeneity")
    name = name_with_budget(name, budget)
    changed = {"task": {"rounds": "7", "lr": "0.03"}, "mosaic": {"lambda_d": "3"}}
    own = {"settings": changed, "methods": ["mosaic"], "budget": budget}
    cells = expand_cells(name, suite, "quick", **own, **GIVEN)
    rows = rows_of(cells)
    found = again(command(rows), settings_file(rows), tmp_path)
    assert [(cell.suite, cell.key) for cell in found] == [(cell.suite, cell.key) for cell in cells]


def test_a_point_of_a_grid_is_run_again_by_its_label(tmp_path):
    name, suite = read_suite("lambda_sweep")
    changed = {"task": {"rounds": "7"}, "mosaic": {"latent": "9"}}
    cell = expand_cells(name, suite, "quick", settings=changed, methods=["mosaic"], **GIVEN)[4]
    rows = rows_of([cell])
    assert [one.key for one in again(command(rows), settings_file(rows), tmp_path)] == [cell.key]


def test_a_method_that_is_gone_is_in_no_other_methods_settings():
    records = made_records({"gone": [0.5], "mosaic": [0.6]}, **{"config.lr": 0.1, "task.lr": 0.2})
    [block] = commands(Context(records, "mosaic"))["blocks"]
    [settings] = [line["settings"] for line in block["lines"] if line["name"] == "mosaic"]
    assert settings == "[task]\nlr = 0.2\n[mosaic]\nlr = 0.1\n"


def test_a_label_has_no_command_in_a_setting_where_it_has_no_cell():
    full = made_records({"fedavg": [0.5], "mosaic": [0.6]}, **{"task.lr": 0.2})
    mixed = made_records({"mosaic": [0.6]}, **{"task.lr": 0.2}).assign(widths="mixed")
    mixed["cell"] += "m"
    blocks = commands(Context(pd.concat([full, mixed], ignore_index=True), "mosaic"))["blocks"]
    names = [[line["name"] for line in block["lines"]] for block in blocks]
    assert names == [["fedavg", "mosaic"], ["mosaic"]]


def test_two_labels_of_one_method_have_each_its_own_settings():
    frames = []
    for folder, lr in {"a": 0.1, "b": 0.2}.items():
        made = made_records({"mosaic": [0.5, 0.6]}, **{"config.lr": lr, FOLDER: folder})
        frames.append(made.assign(cell=made["cell"] + folder))
    records = distinct(pd.concat(frames, ignore_index=True), [])
    [block] = commands(Context(records, "mosaic"))["blocks"]
    settings = {line["name"]: line["settings"] for line in block["lines"]}
    assert settings == {"mosaic": "[mosaic]\nlr = 0.1\n", "mosaic (b)": "[mosaic]\nlr = 0.2\n"}


def test_a_command_has_no_cell_that_is_not_recorded():
    """Seed 1 has other settings at omega 1 than at 0.1; seed 0 was run at omega 0.1 alone."""
    made = made_records({"mosaic": [0.5, 0.6]}, omegas=(0.1, 1.0, 10.0), **{"config.lr": 0.1})
    made.loc[(made["omega"] == 1.0) & (made["seed"] == 1), "config.lr"] = 0.2
    made = made.loc[(made["omega"] != 1.0) | (made["seed"] != 0)]
    found = [(sorted(set(rows["omega"])), sorted(rows["seed"])) for rows in repeat.alike(made)]
    assert found == [([0.1, 10.0], [0, 0, 1, 1]), ([1.0], [1])]


def test_a_given_split_is_given_again():
    records = made_records({"mosaic": [0.5]}, omegas=(float("inf"),), **{"task.law": "file"})
    assert "--omega" not in command(records) and "--partition split.json" in command(records)
    assert settings_file(records).strip() == ""
