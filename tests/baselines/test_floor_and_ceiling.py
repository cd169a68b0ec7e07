"""Training alone and on pooled data."""

import dataclasses

import pytest
import torch
from contract_runs import images, logits_of

from baselines import (
    centralised,
    local,
)
from mosaic.fl.data.federation import open_federation
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train


def test_local_shares_nothing_but_the_start(task, store):
    """A client's independent model does not depend on other clients; its first round is FedAvg's
    first local training.
    """
    task = dataclasses.replace(task, rounds=1)
    alone = list(local.run(task, local.Config()))[-1]
    clients = [
        train(federated_model(task, 0), s, task, round=1) for s in open_federation(task).shards
    ]
    assert len(alone.predict) == 3
    for logits, client in zip(logits_of(alone), clients, strict=True):
        assert torch.equal(logits, predictor(client, task)(images()))


@pytest.mark.parametrize("local_work", [{}, {"epochs": 2, "rounds": 1}])
def test_the_ceiling_is_the_same_for_all_partitions(task, store, local_work):
    """The same pool and the same number of steps, however it is split: also where each client's
    last batch is short.
    """
    task = dataclasses.replace(task, **local_work)
    runs = [
        list(
            centralised.run(
                dataclasses.replace(task, omega=omega, widths=widths), centralised.Config()
            )
        )
        for omega, widths in ((0.1, ()), (100.0, ()), (1.0, (1.0, 0.5, 0.25)))
    ]
    assert all(torch.equal(logits_of(a[-1]), logits_of(runs[0][-1])) for a in runs)
