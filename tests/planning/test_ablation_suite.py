"""The suite `ablation`: each line changes one part of Mosaic."""

import dataclasses

import pytest
from small_suites import cells

from benchmarks.planning.suite import read_suite


@pytest.mark.parametrize("scale", ["quick", "laptop"])
def test_each_entry_of_the_ablation_differs_from_mosaic_in_the_settings_that_it_names(scale):
    """And in nothing else, also where tuning chose a meta model without training."""
    found = {cell.label: cell.config for cell in cells("ablation", scale, seeds=[10])}
    entries = [entry for entry in read_suite("ablation")[1].method if entry.name == "mosaic"]
    mosaic = found["mosaic"]
    fields = [field for field in dataclasses.fields(mosaic) if "work" not in field.metadata]
    assert len(entries) > 20
    for entry in entries:
        config = found[entry.title]
        assert config.meta == "linear", entry.title  # which is trained
        names = {f.name for f in fields if getattr(config, f.name) != getattr(mosaic, f.name)}
        assert names - {"cvae_lr"} == set(entry.set) - {"meta"}, entry.title
