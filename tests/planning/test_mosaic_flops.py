"""Mosaic's forecast: what the server's look at generated images costs, and the checkpoints."""

import dataclasses

import pytest
from contract_runs import SMALL

from benchmarks.planning.method_flops import PARTS
from mosaic import method as mosaic
from mosaic.fl.costs import Account, opened


@pytest.mark.parametrize("changes", [{"meta_data": "source"}, {"expert_counts": "generated"}])
def test_images_in_place_of_prototypes_or_counts_are_forecast(changes, task, store):
    """They are drawn, and labelled by the clients' models and the experts."""
    forecasts, measured = [], []
    for config in (SMALL["mosaic"], dataclasses.replace(SMALL["mosaic"], **changes)):
        with opened(Account()) as account:
            list(mosaic.run(task, config))
        measured.append(sum(account.own.step_flops[kind] for kind in ("draw", "predict")))
        parts = PARTS["mosaic"](task, config)
        forecasts.append(sum(part.flops for part in parts if part.side == "server"))
    more = measured[1] - measured[0]
    assert more > 0 and forecasts[1] - forecasts[0] == pytest.approx(more, rel=0.01)
