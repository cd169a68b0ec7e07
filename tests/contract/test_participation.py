"""Rounds in which only some clients take part."""

import dataclasses

import pytest
import torch
from contract_runs import config_of, images

from benchmarks.planning.methods import METHODS
from mosaic.fl.aggregation import average
from mosaic.fl.contract import Skip
from mosaic.fl.costs import Account, opened
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model, final_client_model
from mosaic.fl.training.prediction import predictor


def test_a_round_of_some_clients_is_the_same_for_all_methods_and_the_average_is_of_their_models(
    task, store
):
    some_clients = dataclasses.replace(task, n_clients=5, participation=0.4, rounds=2)
    drawn = [[shard.client for shard in participants(some_clients, t)] for t in range(20)]
    assert (
        drawn[0] == list(range(5))
        and all(len(who) == 2 for who in drawn[1:])
        and len(set(map(tuple, drawn))) > 4
    )
    server, shards = federated_model(some_clients, 1), participants(some_clients, 2)
    mean = average(
        [final_client_model(some_clients, s.client) for s in shards], [s.size for s in shards]
    )
    assert all(
        torch.allclose(mean[name], tensor, atol=1e-6)
        for name, tensor in federated_model(some_clients, 2).items()
    )
    # without their terms they are FedAvg, of the same some_clients
    for method in ("fedprox", "fedrs"):
        config = dataclasses.replace(
            config_of(method), **{"fedprox": {"mu": 0.0}, "fedrs": {"alpha": 1.0}}[method]
        )
        *_, last = METHODS[method].run(some_clients, config)
        torch.testing.assert_close(
            last.predict(images()),
            predictor(federated_model(some_clients, 2), some_clients)(images()),
        )
    assert not torch.equal(
        server["linear.weight"], federated_model(some_clients, 2)["linear.weight"]
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_with_some_clients_a_round_or_is_skipped(method, task, store):
    some_clients = dataclasses.replace(task, participation=0.4)
    try:
        with opened(Account()) as account:
            *_, last = METHODS[method].run(some_clients, config_of(method))
    except Skip as reason:
        assert "participation" in str(reason)
    else:
        assert last.round == task.rounds
        one_client_a_round = (
            *("fedavg", "fedprox", "fedrs", "fedlc", "fedbn", "scaffold", "feddyn", "moon"),
            *("heterofl", "fedrolex", "sda_fl", "data_sharing", "mosaic_feedback"),
        )
        if method in one_client_a_round:
            assert (
                account.total().steps["train"] == task.rounds * task.steps
            )  # one client of three a round
