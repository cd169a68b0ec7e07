"""Each client's generated images against each other and against its own, by hand."""

import math

import pytest
import torch

from benchmarks.metrics import client_neighbours
from benchmarks.metrics.client_neighbours import nearest_real, neighbour_scores
from benchmarks.metrics.fidelity import collapse
from mosaic.fl.data.federation import Shard
from mosaic.fl.data.transforms import normalise


def pixels(*values: int) -> torch.Tensor:
    """Images of one pixel each."""
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None]


def shards(images: torch.Tensor, *indices: list[int]) -> list[Shard]:
    """Clients that hold these positions of the images, all of one class."""
    labels = torch.zeros(len(images), dtype=torch.long)
    made = []
    for client, positions in enumerate(indices):
        counts = torch.tensor([len(positions)])
        made.append(Shard(client, 1.0, images, labels, torch.tensor(positions), counts))
    return made


def test_distances_to_the_nearest_real_image_by_hand():
    """Its own are 10, 10 and 20 apart, median 10; the generated ones 5, 10 and 30 from them."""
    own = pixels(0, 10, 30)
    assert nearest_real(pixels(5, 20, 60), own) == 1.0
    assert nearest_real(pixels(5, 35, 60), own) == 0.5
    assert nearest_real(own, own) == 0


def test_of_several_pixels_the_distance_is_euclidean():
    own = torch.tensor([[0, 0], [0, 10]], dtype=torch.uint8)[:, None, None]
    away = torch.tensor([[30, 50]], dtype=torch.uint8)[:, None, None]
    assert nearest_real(away, own) == pytest.approx(math.hypot(30, 40) / 10)


def test_without_images_or_a_distance_between_its_own_it_is_unknown():
    none = pixels()
    assert math.isnan(nearest_real(none, pixels(0, 10)))
    assert math.isnan(nearest_real(pixels(5), pixels(0)))
    assert math.isnan(nearest_real(pixels(5), pixels(0, 0, 7, 7)))


def test_blocks_and_a_part_of_its_own_images_give_the_same(monkeypatch):
    """256 images, 1 apart from each other; a part of them looks for its nearest among all."""
    own = torch.arange(256).to(torch.uint8)[:, None, None, None]
    generated = pixels(3, 200)
    monkeypatch.setattr(client_neighbours, "BLOCK", 100)
    monkeypatch.setattr(client_neighbours, "LOOKED_AT", 10)
    assert nearest_real(generated, own) == 0
    assert client_neighbours._two_nearest(own, own).tolist() == [[0, 1]] * 256


def test_held_out_digits_are_about_as_far_as_a_clients_own_are_apart(digits):
    images = digits[0]
    ratio = nearest_real(images[1200:], images[:1200])
    assert 0.9 < ratio < 1.2


def test_columns_by_hand():
    """Of client 0's images two of four are within 0.5 of another of them; the one at 9.9 is near to
    client 1's image only. Client 1 has drawn one image, client 2 none, and one is the server's.
    """
    features = torch.tensor([[0.0], [0.1], [5.0], [9.9], [10.0], [10.0]], dtype=torch.float64)
    drawn_by = torch.tensor([0, 0, 0, 0, 1, -1])
    images = normalise(pixels(0, 5, 10, 30, 90, 90))
    clients = shards(pixels(0, 10, 20, 70, 80, 1, 2), [0, 1, 2], [3, 4], [5, 6])
    found = neighbour_scores(features, images, drawn_by, clients, duplicate_distance=0.5)
    assert found == {
        "client_duplicates": "0.500 nan nan",
        # distances 0, 5, 0, 10 and 10 of images that are 10 apart
        "client_nearest_real": "0.250 1.000 nan",
    }


def test_one_client_alone_has_the_duplicates_of_the_whole_set():
    features = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    [shard] = shards(pixels(0, 10), [0, 1])
    images = normalise(pixels(*range(50)))
    found = neighbour_scores(features, images, torch.zeros(50).long(), [shard], 0.1)
    whole = collapse(features, features, 0.1)["duplicate_ratio"]
    assert 0 < whole < 1 and found["client_duplicates"] == f"{whole:.3f}"


def test_a_servers_generator_has_no_clients():
    of_server = torch.full((3,), -1)
    clients = shards(pixels(0, 10), [0, 1])
    images = normalise(pixels(0, 5, 10))
    assert neighbour_scores(torch.zeros(3, 2), images, of_server, clients, 0.1) == {}
