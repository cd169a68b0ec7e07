"""One round of FedAvg, by its parts."""

from dataclasses import replace

import pytest
import torch
from helpers import same

from mosaic.fl.aggregation import average
from mosaic.fl.contract import Skip
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rounds import (
    average_round,
    client_updates,
    client_windows,
    participants,
    require_all_clients,
)
from mosaic.fl.stages import federated_model
from mosaic.fl.training.sgd import train


def test_rounds_by_hand_are_the_shared_federated_model(task):
    federation = open_federation(task)
    server = initial_model(task.spec, task.seed)
    for t in range(1, task.rounds + 1):
        clients = [train(server, shard, task, round=t) for shard in federation.shards]
        server = average(clients, weights=federation.sizes)
    assert same(server, federated_model(task, task.rounds))


def test_clients_count_by_their_samples_or_all_the_same(task):
    server = initial_model(task.spec, task.seed)
    clients = list(client_updates(task, server, 1))
    sizes = open_federation(task).sizes
    assert same(average_round(task, server, clients, 1), average(clients, sizes))
    assert same(average_round(task, server, clients, 1, equal=True), average(clients, [1, 1, 1]))


def test_a_methods_own_loss_is_made_from_the_shard_and_the_received_model(task):
    server = initial_model(task.spec, task.seed)
    received = []

    def loss_of(shard, state):
        received.append((shard.client, same(state, server)))
        return lambda model, images, labels: model(images).square().mean()

    changed = list(client_updates(task, server, 1, loss_of))
    assert received == [(0, True), (1, True), (2, True)]
    assert not same(changed, list(client_updates(task, server, 1)))


def test_at_least_one_client_takes_part_and_in_round_0_all_do(task):
    few = replace(task, participation=0.01)
    assert len(participants(few, 1)) == 1
    assert len(participants(few, 0)) == task.n_clients


def test_a_server_that_needs_all_clients_skips_a_task_in_which_only_some_take_part(task):
    assert [shard.client for shard in require_all_clients(task)] == [0, 1, 2]
    with pytest.raises(Skip, match="participation must be 1"):
        require_all_clients(replace(task, participation=0.5))


def test_windows_go_once_around_in_all_rounds_or_move_by_one_channel_per_round(task):
    """Two of four channels: in two rounds each is trained."""
    narrow = replace(task, widths=(1.0, 0.5, 0.5))
    assert [client_windows(narrow, t)[1]["c1"].tolist() for t in (1, 2)] == [[2, 3], [0, 1]]
    narrow = replace(narrow, roll="channel")
    first = client_windows(narrow, 1)
    second = client_windows(narrow, 2)
    assert first[0]["c1"] is None  # full width: all channels
    assert first[1]["c1"].tolist() == [1, 2] and second[1]["c1"].tolist() == [2, 3]
    assert torch.equal(first[1]["c1"], first[2]["c1"])
