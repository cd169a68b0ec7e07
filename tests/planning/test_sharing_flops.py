"""The forecast of methods whose server sends images back."""

import dataclasses

from benchmarks.planning.method_flops import PARTS
from mosaic.feedback import Config


def test_an_exchange_that_one_round_has_no_room_for_stops_no_plan(task):
    """Such a cell is skipped when it runs; a plan of it ended with the reason as a traceback."""
    task = dataclasses.replace(task, rounds=1)
    gan = Config(generator="dcgan", labels="soft", begin=0.5)
    drawn = Config(begin=0.5, refresh=2)
    for config in (gan, drawn):
        assert sum(part.flops for part in PARTS["mosaic_feedback"](task, config)) > 0
