"""The estimate of the time that a run still takes, against numbers by hand."""

import dataclasses

from benchmarks.running.progress import Estimate
from benchmarks.running.records import done_file, write_rows


def finish(folder, cell, **columns):
    row = {"cell": cell.key, "status": "done", "round": 10, "selection": "last", **columns}
    write_rows(done_file(folder, cell), [row])


def test_nothing_is_estimated_before_a_cell_has_run(tmp_path, cells):
    assert Estimate(tmp_path, cells).seconds(cells, 1) is None


def test_a_shared_stage_counts_once_per_partition_and_not_where_it_is_cached(tmp_path, cells):
    zero = [cell for cell in cells if cell.task.seed == 0]
    for cell in zero:
        finish(tmp_path, cell, method_s=3.0, stage_s=100.0, stage_s_warm_up=100.0)
    one = [cell for cell in cells if cell.task.seed == 1]
    assert Estimate(tmp_path, cells).seconds(one, 2) == (3 + 3 + 100) / 2  # not 2 x 103
    assert Estimate(tmp_path, cells).seconds(zero, 1) == 6  # the stage is there


def test_a_cell_of_an_unknown_kind_takes_the_mean_of_the_known(tmp_path, cells):
    finish(tmp_path, cells[0], method_s=4.0, stage_s=0.0)
    other = dataclasses.replace(cells[0], label="other")
    assert Estimate(tmp_path, cells).seconds([other], 1) == 4


def test_the_estimate_in_words(tmp_path, cells):
    estimate = Estimate(tmp_path, cells)
    assert estimate.text([], 2) == "nothing to do"
    assert "no estimate" in estimate.text(cells, 2)
    finish(tmp_path, cells[0], method_s=60.0)
    text = Estimate(tmp_path, cells).text(cells, 2)
    assert text == "about 2 min with 2 jobs, by the cells that have run here"
