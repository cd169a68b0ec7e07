"""Cached stages: what a method announces, and what methods share."""

import dataclasses

import pytest
import torch
from contract_runs import config_of, run

from benchmarks.planning.methods import METHODS
from mosaic.fl import independent, rounds
from mosaic.fl.cache import computed_stages
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model
from mosaic.fl.training.sgd import train


def test_clients_that_train_once_train_once_for_all_methods(task, store, monkeypatch):
    """One round: FedAvg, the ensemble, FedDF and the floor are over the same models, trained a
    single time.
    """
    trained = []

    def counted(state, shard, *names, **options):
        trained.append(shard.client)
        return train(state, shard, *names, **options)

    monkeypatch.setattr(rounds, "train", counted)
    monkeypatch.setattr(independent, "train", counted)
    task = dataclasses.replace(task, rounds=1, score_every=1)
    for method in ("local", "feddf", "ensemble", "fedavg"):
        run(method, task)
    assert sorted(trained) == [0, 1, 2]
    for roll, again in (("turn", [0, 1, 2]), ("channel", [0, 1, 1, 2, 2])):
        trained.clear()
        narrow = dataclasses.replace(task, widths=(1.0, 0.5, 0.5), roll=roll)
        for method in ("local", "ensemble"):
            run(method, narrow)
        assert sorted(trained) == again  # "channel": in the round their windows move on by one


def test_an_single_round_from_other_weights_is_trained_from_them(task, store):
    task = dataclasses.replace(task, rounds=1, score_every=1)
    server, shard = initial_model(task.spec, seed=7), open_federation(task).shards[0]
    expected = train(server, shard, task, round=1)
    assert all(
        torch.equal(v, expected[k]) for k, v in rounds.client_update(task, server, 1, shard).items()
    )


@pytest.mark.parametrize("protocol", ["rounds", "oneshot"])
@pytest.mark.parametrize("generator", ["dcgan", "cvae"])
def test_mosaic_calls_the_stages_that_it_announced(protocol, generator, task, store):
    config = dataclasses.replace(
        config_of("mosaic"), protocol=protocol, generator=generator, cvae_steps=20
    )
    check_announced_stages(METHODS["mosaic"], task, config)


@pytest.mark.parametrize(
    "name", [name for name, method in METHODS.items() if hasattr(method, "stages")]
)
def test_a_method_calls_the_stages_that_it_announced(name, task, store):
    check_announced_stages(METHODS[name], task, config_of(name))


def check_announced_stages(method, task, config):
    """Wave by wave each call finds there all but its own result; afterwards the method finds there
    all it needs.
    """
    for wave in method.stages(task, config):
        before = {call for call in wave if call.func.is_cached(*call.args, **call.keywords)}
        assert not before, "a stage was named twice, or an earlier wave made it"
        for call in wave:
            with computed_stages() as computed:
                call()
            own = f"{call.func.stage_name}/{call.func.key_of(*call.args, **call.keywords)}"
            others = {key for key in computed if not key.startswith(("warm_up", own))}
            assert own in computed and not others
    with computed_stages() as computed:
        list(method.run(task, config))
    assert computed <= {
        f"warm_up/{federated_model.key_of(task, 0)}"
    }  # a start of its own costs nothing
