"""One run of a suite: the order in which its cells are run."""

from benchmarks.api import request_of
from benchmarks.running.suite_run import open_run


def test_the_first_cells_are_of_the_middle_one_of_the_omegas_that_are_run(tmp_path):
    """Of each seed; the others follow in their order."""
    options = {"omega": [5.0, 0.05, 0.5], "methods": ["fedavg"], "seeds": [0, 1]}
    options |= {"widths": ["full"], "out": tmp_path, "device": "cpu"}
    run = open_run(request_of("heterogeneity", "quick", options), dry=True)
    order = [(cell.task.seed, cell.task.omega) for cell in run.to_run(set())]
    assert order == [(0, 0.05), (0, 5.0), (0, 0.5), (1, 0.05), (1, 5.0), (1, 0.5)]

    done = {cell.key for cell in run.cells if cell.task.omega == 0.05}
    assert [cell.task.omega for cell in run.to_run(done)] == [5.0, 0.5, 5.0, 0.5]
