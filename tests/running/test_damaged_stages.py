"""A process that computes stages reports what it finds damaged in the cache."""

import json
from functools import partial

from benchmarks.running.processes import compute_stage
from benchmarks.running.schedule import Stage
from mosaic.fl.cache import use_cache
from mosaic.fl.stages import federated_model


def test_a_damaged_stage_is_named_by_the_process_that_computes_it_again(tiny_cell, tmp_path):
    cell = tiny_cell("fedavg")
    stage = Stage(partial(federated_model, cell.task, 0), cell)
    use_cache(tmp_path)
    try:
        assert compute_stage(stage) == ()
        note = tmp_path / f"{stage.key}.json"
        note.write_bytes(note.read_bytes()[:40])
        [text] = compute_stage(stage)
        assert text.startswith(f"damaged stage {note}: ")
        assert "sha256" in json.loads(note.read_bytes())
    finally:
        use_cache(None)
