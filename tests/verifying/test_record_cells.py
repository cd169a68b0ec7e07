"""From a record back to its cell: for every method, with the same key."""

import json
import math

import pytest

from benchmarks.planning.data import fingerprints, splits_of, with_data
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.suite import read_suite
from benchmarks.running.record import identity
from benchmarks.verifying.record_cells import OtherKey, cell_of
from mosaic.fl.json_values import from_json, to_json


def as_written(cell) -> dict:
    """The columns of a cell's record that say which cell it is, through its file."""
    written = {column: to_json(value) for column, value in identity(cell).items()}
    return {column: from_json(value) for column, value in json.loads(json.dumps(written)).items()}


@pytest.mark.parametrize("suite, omega", [("heterogeneity", 0.1), ("oneshot", math.inf)])
def test_a_record_has_all_that_its_key_is_made_of(suite, omega):
    name, content = read_suite(suite)
    cells = expand_cells(name, content, "quick", seeds=[3], omega=[omega], clients=[10])
    cells = with_data(cells, fingerprints(splits_of(cells), download=False))
    assert len({cell.method for cell in cells}) > 5
    for cell in cells:
        found = cell_of(as_written(cell))
        assert found.key == cell.key
        assert (found.config, found.label, found.work) == (cell.config, cell.label, cell.work)


def test_another_number_in_a_record_is_another_key():
    name, content = read_suite("heterogeneity")
    [cell] = expand_cells(
        name, content, "quick", seeds=[3], omega=[0.1], methods=["fedavg"], widths=["full"]
    )
    for column, value in {"seed": 4, "task.lr": 0.06, "config.local": 2, "omega": 0.2}.items():
        with pytest.raises(OtherKey, match="have another key"):
            cell_of(as_written(cell) | {column: value})
