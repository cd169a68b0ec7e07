"""Mosaic's prototypes: cluster centres of the clients' features."""

from dataclasses import replace

import torch

from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.independent import independent_client_model
from mosaic.fl.training.prediction import features
from mosaic.prototypes import client_prototypes, cluster, embedded, prototypes_of


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_narrow_clients_own_features_stand_at_its_channels(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    shard = open_federation(task).shards[2]
    own = features(independent_client_model(task, 2), task, shard.images[shard.indices], width=0.25)
    wide = embedded(task, shard, "oneshot", "average")
    assert own.shape[1] == 4 and wide.shape[1] == 16  # c4 is four base widths of 4
    assert torch.equal(wide[:, :4], own) and not wide[:, 4:].any()


def test_with_running_statistics_an_embedding_does_not_depend_on_the_clients_other_images(
    task, store
):
    """With those of a batch it does, and a client of one class standardises that class away."""
    task = replace(task, batch_norm="batch")
    shard = open_federation(task).shards[0]
    fewer = replace(shard, indices=shard.indices[:10])
    for norm, same in (("average", True), ("task", False)):
        of_all = embedded(task, shard, "rounds", norm)
        of_fewer = embedded(task, fewer, "rounds", norm)
        assert torch.allclose(of_all[:10], of_fewer, atol=1e-5) == same


def test_the_mean_stands_for_a_class_with_fewer_than_k_samples_and_k_centres_for_the_others(task):
    shard = open_federation(task).shards[0]
    embedded = torch.randn(shard.size, 6, generator=rng())
    prototypes = prototypes_of(embedded, shard, k=5)
    labels = shard.labels[shard.indices]
    for c in shard.classes.tolist():
        own, of_class = embedded[labels == c], prototypes["labels"] == c
        assert of_class.sum() == (5 if len(own) >= 5 else 1)
        assert prototypes["weights"][of_class].sum() == len(own)
        weighted = (prototypes["weights"][of_class, None] * prototypes["features"][of_class]).sum(0)
        assert torch.allclose(
            weighted, own.sum(0), atol=1e-4
        )  # centres keep their class's centre of mass
        if len(own) < 5:
            assert torch.allclose(prototypes["features"][of_class][0], own.mean(0))
    assert {int((labels == c).sum()) < 5 for c in shard.classes} == {
        True,
        False,
    }  # the case has both


def test_prototypes_stand_for_all_samples_and_are_uploaded_once(task, store):
    federation = open_federation(task)
    for _ in range(2):  # a miss and a hit
        with opened(Account()) as account:
            prototypes = client_prototypes(task, 3, "rounds", "average")
            client_prototypes(task, 3, "rounds", "average")
        assert account.total().upload["prototypes"] == n_bytes(prototypes)
    assert [int(p["weights"].sum()) for p in prototypes] == federation.sizes


def test_k_equal_points_are_one_prototype(task):
    """k-means finds fewer distinct points than k and would warn; the empty clusters go, no sample
    is lost.
    """
    shard = open_federation(task).shards[0]
    prototypes = prototypes_of(torch.ones(shard.size, 6), shard, k=5)
    assert (
        len(prototypes["labels"]) == len(shard.classes)
        and prototypes["weights"].sum() == shard.size
    )


def test_clusters_are_those_that_are_far_from_each_other():
    points = torch.cat(
        [torch.randn(20, 2, generator=rng()) * 0.1 + centre for centre in (-5, 0, 5)]
    )
    prototypes = cluster(points, 3)
    assert [len(part.unique()) for part in prototypes.split(20)] == [1, 1, 1] and len(
        prototypes.unique()
    ) == 3
