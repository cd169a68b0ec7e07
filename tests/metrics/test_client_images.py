"""Each client's generated images against its own labels, by hand."""

import math

import pytest
import torch

from benchmarks.metrics.client_images import client_scores


def scores(drawn: list[list[int]], counts: list[list[int]]):
    """The scores of so many images per client and class, of clients with so many samples."""
    classes, clients = [], []
    for client, of_client in enumerate(drawn):
        for c, n in enumerate(of_client):
            classes += [c] * n
            clients += [client] * n
    return client_scores(torch.tensor(classes), torch.tensor(clients), torch.tensor(counts))


def test_coverage_and_shares_by_hand():
    """Client 0 draws both of its classes, 10 images of a third one too; client 1 has lost one of
    its two classes; client 2 draws only what it does not have.
    """
    found = scores([[45, 45, 10], [100, 0, 0], [100, 0, 0]], [[50, 50, 0], [90, 10, 0], [0, 0, 70]])
    assert found["client_coverage"] == "1.000 0.500 0.000"
    assert found["client_own_share"] == "0.900 1.000 0.000"
    assert found["worst_client_coverage"] == 0
    assert found["collapsed_clients"] == "1 2"
    assert found["label_variation"] == pytest.approx((0.1 + 0.1 + 1) / 3)


def test_a_class_needs_a_tenth_of_its_share_and_counts_only_if_it_would_have_three_images():
    """Of 100 images 40 are expected of class 1: 4 are enough, 3 are not. Of class 2 with a share of
    2 % there would be 2: it does not count.
    """
    enough = scores([[96, 4, 0]], [[58, 40, 2]])
    too_few = scores([[97, 3, 0]], [[58, 40, 2]])
    assert (enough["client_coverage"], too_few["client_coverage"]) == ("1.000", "0.500")


def test_shares_like_the_datas_agree_fully():
    found = scores([[30, 10], [0, 20]], [[3, 1], [0, 500]])
    assert found["label_variation"] == 0
    assert found["label_correlation"] == pytest.approx(1)
    assert found["collapsed_clients"] == ""


def test_a_client_without_images_is_unknown_and_a_servers_generator_has_no_clients():
    found = scores([[30, 10], [0, 0]], [[3, 1], [1, 1]])
    assert found["client_coverage"] == "1.000 nan" and found["collapsed_clients"] == ""
    assert not math.isnan(found["label_variation"])
    of_server = torch.full((5,), -1)
    assert client_scores(torch.zeros(5).long(), of_server, torch.ones(2, 3)) == {}
