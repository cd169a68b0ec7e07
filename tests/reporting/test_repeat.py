"""The settings file and the command line of the report page run a cell again."""

import shlex

import pandas as pd

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.settings import read_settings
from benchmarks.planning.suite import read_suite
from benchmarks.reporting.page.repeat import command, settings_file
from benchmarks.run import parse
from benchmarks.running.record import identity


def test_a_record_gives_the_key_of_its_cell_also_where_settings_were_changed(tmp_path):
    name, suite = read_suite("heterogeneity")
    changed = {"task": {"rounds": "7", "lr": "0.03"}, "mosaic": {"lambda_d": "3"}}
    given = {"datasets": ["digits"], "omega": [0.1], "seeds": [1], "widths": ["full"]}
    cells = expand_cells(name, suite, "quick", settings=changed, methods=["mosaic"], **given)
    rows = pd.DataFrame([identity(cell) for cell in cells])
    (tmp_path / "settings.toml").write_text(settings_file(rows), encoding="utf-8")

    # the command that the page shows, read as the command line reads it
    options = parse(shlex.split(command(rows))[3:])
    assert (options.suite, options.scale, options.methods) == (name, "quick", "mosaic")
    assert (options.omega, options.seeds, options.widths) == ("0.1", "1,", ["full"])
    settings = read_settings([], [tmp_path / "settings.toml"])
    again = expand_cells(name, suite, "quick", settings=settings, methods=["mosaic"], **given)
    assert [cell.key for cell in again] == [cell.key for cell in cells]
