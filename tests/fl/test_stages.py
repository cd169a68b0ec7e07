"""The stages that methods share: they can be resumed, are charged once, and fit into memory."""

import dataclasses
import inspect
import sys
from functools import partial

import pytest
import torch
from helpers import same

from mosaic.fl.cache import use_cache
from mosaic.fl.costs import Account, opened
from mosaic.fl.independent import pooled_model
from mosaic.fl.lazy_models import LazyModels
from mosaic.fl.stages import federated_model, final_client_models


def test_rounds_resumed_from_the_cache_give_the_same_models_as_uninterrupted_ones(
    store, task, tmp_path
):
    federated_model(task, 1)
    resumed = federated_model(task, 2)
    clients = list(final_client_models(task))

    use_cache(tmp_path / "another")
    assert same(federated_model(task, 2), resumed)
    assert same(list(final_client_models(task)), clients)

    use_cache(store)
    assert same(federated_model(task, 2), resumed)
    assert same(list(final_client_models(task)), clients)


def test_two_ways_to_the_same_model_are_charged_the_same(store, task):
    with opened(Account()) as clients_first:
        final_client_models(task)
        federated_model(task, 2)
    with opened(Account()) as server_only:
        federated_model(task, 2)
    assert clients_first.stages == server_only.stages


def test_of_many_models_the_last_few_stay_in_memory_and_each_is_computed_once(store, monkeypatch):
    monkeypatch.setattr("mosaic.fl.lazy_models.MODELS_IN_MEMORY", 2)
    calls = []

    def constant(i: int) -> dict:
        calls.append(i)
        return {"w": torch.full((1,), i)}

    models = LazyModels(constant, 5)
    assert calls == [0, 1, 2, 3, 4] and len(models) == 5
    assert [int(model["w"]) for model in models] == [0, 1, 2, 3, 4] and len(calls) == 10
    assert int(models[4]["w"]) == 4 and len(calls) == 10  # one of the last two
    with pytest.raises(IndexError, match="no item 5 of 5"):
        models[5]


def test_without_a_cache_all_models_stay_in_memory():
    use_cache(None)
    calls = []
    models = LazyModels(calls.append, 30)
    assert list(models) == [None] * 30 and calls == list(range(30))


@pytest.mark.parametrize("of", ["clients", "pool"])
def test_a_model_after_many_checkpoints_needs_no_deep_stack(of, store, task):
    """Each checkpoint called the one before it: some hundreds overflowed Python's stack."""
    task = dataclasses.replace(task, n_clients=1, rounds=60, steps=1, batch_size=2)
    if of == "clients":
        model_after = partial(federated_model, task)
    else:
        model_after = partial(pooled_model, task, steps=1)
    model_after(2)  # whatever is imported or built at first
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 110)  # 3 frames per checkpoint would be 180
    try:
        model_after(task.rounds)
    finally:
        sys.setrecursionlimit(limit)
