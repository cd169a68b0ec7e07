"""Decoders as a source of images: how often each client and label is drawn, and what comes out."""

from dataclasses import replace

import pytest
import torch

from mosaic.fl.synthesis.cvae import new_decoder
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task

# Three clients; none of them has class 1.
COUNTS = torch.tensor([[5, 0, 3, 0], [0, 0, 40, 2], [1, 0, 0, 9]])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count_pairs(labels: torch.Tensor, clients: torch.Tensor) -> torch.Tensor:
    """How often each of three clients drew each of four labels (3, 4)."""
    return torch.bincount(clients * 4 + labels, minlength=12).view(3, 4)


@pytest.mark.parametrize("n", [1, 7, 60, 501])
@pytest.mark.parametrize("seed", range(3))
def test_clients_and_labels_are_as_frequent_as_in_the_data(n, seed, task, untrained):
    """Client in proportion to its size and label to that client's counts.

    That is n counts / 60 of each pair, to within one.
    """
    _, labels, clients = untrained(task, COUNTS).plan(n, rng(seed))
    drawn = count_pairs(labels, clients)
    assert drawn.sum() == n and ((drawn - n * COUNTS / 60).abs() < 1).all()
    assert n != 60 or torch.equal(drawn, COUNTS)
    assert (drawn[COUNTS == 0] == 0).all()  # no client draws what it lacks


@pytest.mark.parametrize("n", [1, 7, 60, 501])
@pytest.mark.parametrize("seed", range(3))
def test_balanced_classes_are_equally_frequent_to_within_one_image(n, seed, task, untrained):
    """Clients have three classes. Class 2 is drawn by clients 0 and 1 as 3 to 40."""
    _, labels, clients = untrained(task, COUNTS, balanced=True).plan(n, rng(seed))
    drawn = count_pairs(labels, clients)
    per_class = drawn.sum(0)[[0, 2, 3]]
    assert per_class.sum() == n and per_class.max() - per_class.min() <= 1
    assert (drawn[COUNTS == 0] == 0).all()
    assert abs(drawn[0, 2] - n / 3 * 3 / 43) < 1


def test_the_order_of_draws_is_random(task, untrained):
    _, labels, _ = untrained(task, COUNTS).plan(60, rng())
    assert not torch.equal(labels, labels.sort().values)


@pytest.mark.parametrize("cut, variance", [(1.0, 0.2911), (3.0, 0.9733)])
def test_noise_is_a_normal_cut_off_where_the_config_says(cut, variance, task, small):
    """N(0, 1) cut off at c has variance 1 - 2 c phi(c) / (2 Phi(c) - 1).

    At 1 it is 1 - 0.48394 / 0.68269 = 0.2911; at 3, 0.9733.
    """
    decoders = Decoders(task, replace(small, cvae_truncation=cut), [], COUNTS)
    z, _, _ = decoders.plan(20_000, rng())
    assert z.abs().max() <= cut and z.dtype == torch.float32
    # 80,000 draws: a standard error of the variance below 0.005
    assert z.var().item() == pytest.approx(variance, abs=0.02)
    assert abs(z.mean().item()) < 0.02


def test_images_have_the_datas_shape_and_range_and_repeat(task, untrained):
    decoders = untrained(task, COUNTS)
    for tensor in decoders.states[0].values():  # all clients have the same one
        tensor.mul_(8000)  # so that images reach the ends of the range
    images, clients = decoders.draw(50, rng())
    assert images.shape == (50, 1, 8, 8) and images.dtype == torch.float32
    assert clients.shape == (50,)
    assert -1 <= images.min() < -0.9 and 0.9 < images.max() <= 1
    again, labels, drawn_by = decoders.draw_labelled(50, rng())
    assert torch.equal(images, again) and torch.equal(clients, drawn_by)
    assert labels.shape == (50,)


def test_images_of_colours_have_three_channels(untrained):
    images, _ = untrained(Task(dataset="cifar10"), COUNTS).draw(5, rng())
    assert images.shape == (5, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_each_image_is_drawn_by_its_clients_decoder(task, small):
    """The last layer of decoder i gives 1 + i everywhere: the image is tanh((1 + i) / 2)."""
    states = []
    for client in range(3):
        decoder = new_decoder(task, small, 4)
        state = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
        state["4.weight"].zero_()
        state["4.bias"].fill_(1.0 + client)
        states.append(state)
    images, _, clients = Decoders(task, small, states, COUNTS).draw_labelled(1100, rng())
    expected = torch.tanh((1 + clients) / 2)[:, None, None, None].expand_as(images)
    torch.testing.assert_close(images, expected)


def test_the_label_reaches_the_decoder(task, small, untrained):
    """From the same noise, four labels give four images."""
    decoders = untrained(task, torch.eye(4, dtype=torch.int64))
    z = torch.zeros(4, small.cvae_latent)
    images = decoders.decode(z, torch.arange(4), torch.zeros(4, dtype=torch.int64))
    assert len(images.unique(dim=0)) == 4
