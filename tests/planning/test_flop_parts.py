"""The forecast of local training where only some clients take part in a round."""

import dataclasses

import pytest

from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS
from mosaic.fl.costs import Account, opened

FEW = {"fens": {"aggregator_rounds": 1}}


@pytest.mark.parametrize("method", ["local", "centralised", "ensemble", "fens", "fedavg"])
def test_local_training_of_half_of_the_clients_is_forecast(method, task, store):
    """Training alone and pooled is always all of it; so is a last round for all clients' models."""
    task = dataclasses.replace(task, n_clients=4, participation=0.5, omega=100.0)
    config = METHODS[method].Config(**FEW.get(method, {}))
    with opened(Account()) as account:
        list(METHODS[method].run(task, config))
    forecast = sum(part.flops for part in PARTS[method](task, config) if part.side == "local")
    assert forecast == pytest.approx(account.total().step_flops["train"], rel=0.02)
