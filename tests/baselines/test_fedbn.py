"""FedBN: what is shared, what stays with the clients, and their personal models."""

import dataclasses

import pytest
import torch
from method_runs import (
    MIXED,
    images,
    run,
)

from baselines import fedbn
from mosaic.fl.aggregation import average
from mosaic.fl.contract import Skip
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.models.spec import Spec, State
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train


def rounds_of_fedbn(task: Task, rounds: int) -> tuple[State, list[State]]:
    start, private = initial_model(task.spec, task.seed), fedbn.batch_norms(task.spec)
    all_channels = [window(task.spec_at(width)) for width in task.widths or [1.0] * task.n_clients]
    shared = fedbn.only(start, start.keys() - private)
    own = [cut(fedbn.only(start, private), task.layout, channels) for channels in all_channels]
    for t in range(1, rounds + 1):
        shared, own = fedbn.one_round(task, shared, own, all_channels, t)
    return shared, own


@pytest.mark.parametrize("model, layers", [("cnn", 4), ("resnet18", 20)])
def test_batch_norms_are_the_four_tensors_of_each_layer(model, layers):
    """4 blocks; and 1 + 2 x 8 of ResNet-18, with one in each of 3 shortcuts."""
    found = fedbn.batch_norms(Spec(model, 1, 10, 4))
    assert len(found) == 4 * layers
    assert {name.rpartition(".")[2] for name in found} == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
    }
    assert found < set(initial_model(Spec(model, 1, 10, 4), 0)) and "linear.weight" not in found


def test_clients_share_all_but_batch_norm_and_each_has_its_own(task, store):
    shared, own = rounds_of_fedbn(task, 2)
    assert (
        shared.keys() | own[0].keys() == federated_model(task, 0).keys()
        and not shared.keys() & own[0].keys()
    )
    for name in own[0]:
        assert not torch.equal(own[0][name], own[1][name]) and not torch.equal(
            own[1][name], own[2][name]
        ), name


def test_fedbns_first_round_averages_what_fedavgs_does(task, store):
    """All start from one model, so the first round's local training is FedAvg's; only the average
    is partial.
    """
    shared, own = rounds_of_fedbn(task, 1)
    federation, server = open_federation(task), federated_model(task, 1)
    assert all(torch.equal(shared[name], server[name]) for name in shared)
    mean = average(own, federation.sizes)
    assert all(torch.equal(mean[name], server[name]) for name in mean)


def test_a_client_goes_on_with_its_own_batch_norm(task, store):
    """Round 2 of a client starts from the shared model with the BatchNorm that it ended round 1
    with.
    """
    (shared, own), (_, after) = rounds_of_fedbn(task, 1), rounds_of_fedbn(task, 2)
    for shard in open_federation(task).shards:
        trained = train(shared | own[shard.client], shard, task, round=2)
        assert all(
            torch.equal(trained[name], tensor) for name, tensor in after[shard.client].items()
        )


def test_fedbns_result_is_the_clients_personal_models(task, store):
    task = dataclasses.replace(task, widths=MIXED)
    shared, own = rounds_of_fedbn(task, 2)
    parts, found = task.layout, run("fedbn", task)[-1]
    assert len(found) == 3
    for client, width in enumerate(MIXED):
        model = cut(shared, parts, window(task.spec_at(width))) | own[client]
        assert torch.equal(found[client], predictor(model, task, width)(images()))


@pytest.mark.parametrize("norm", ["group", "none"])
def test_without_batch_norm_there_is_no_fedbn(norm, task, store):
    with pytest.raises(Skip, match="no BatchNorm"):
        next(fedbn.run(dataclasses.replace(task, norm=norm), fedbn.Config()))
