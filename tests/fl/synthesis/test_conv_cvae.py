"""The convolutional networks of a CVAE: shapes, sizes, and that nothing else changes."""

from dataclasses import replace

import pytest
import torch

from mosaic.fl.data.federation import open_federation
from mosaic.fl.keys import canonical
from mosaic.fl.synthesis.client_cvaes import client_cvae, client_modules
from mosaic.fl.synthesis.conv_cvae import ENCODER_UNITS, ConvDecoder, ConvEncoder
from mosaic.fl.synthesis.cvae import CvaeConfig, new_decoder
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task


@pytest.mark.parametrize("channels, size", [(1, 8), (1, 28), (3, 30), (3, 32), (1, 33)])
def test_images_of_any_size_go_in_and_come_out(channels, size):
    n_pixels = channels * size**2
    decoder = ConvDecoder(4 + 10, 2, channels, size)
    encoder = ConvEncoder(10, 2, channels, size, 8)
    assert decoder(torch.randn(3, 14)).shape == (3, n_pixels)
    assert encoder(torch.randn(3, n_pixels + 10)).shape == (3, 8)


def test_a_decoders_and_an_encoders_parameters_are_counted_by_hand():
    """At 28x28 and width 16: 7x7 pixels of 32 channels, 14x14 of 16, 28x28 of one."""
    decoder = new_decoder(
        Task(dataset="fashion_mnist"), CvaeConfig(cvae_network="convolutional"), 10
    )
    by_hand = (26 + 1) * 32 * 7 * 7 + (32 * 16 * 16 + 16) + (16 * 16 + 1)
    assert sum(p.numel() for p in decoder.parameters()) == by_hand == 50_801
    encoder = ConvEncoder(10, 16, 1, 28, 32)
    by_hand = (16 * 16 + 16) + (16 * 16 * 32 + 32)
    by_hand += (32 * 49 + 10 + 1) * ENCODER_UNITS + (ENCODER_UNITS + 1) * 32
    assert sum(p.numel() for p in encoder.parameters()) == by_hand


def test_the_label_reaches_the_code_and_the_image():
    decoder, encoder = ConvDecoder(4 + 2, 4, 1, 8), ConvEncoder(2, 4, 1, 8, 8)
    same_noise, same_image = torch.ones(2, 4), torch.ones(2, 64)
    first, second = decoder(torch.cat([same_noise, torch.eye(2)], 1))
    assert not torch.equal(first, second)
    first, second = encoder(torch.cat([same_image, torch.eye(2)], 1))
    assert not torch.equal(first, second)


def test_the_new_settings_at_their_defaults_are_not_in_the_keys():
    assert "cvae_network" not in canonical(CvaeConfig())
    assert "cvae_width" not in canonical(CvaeConfig())
    assert "convolutional" in canonical(CvaeConfig(cvae_network="convolutional"))


def test_it_learns_to_draw_each_class(store, small):
    task = Task(omega=100.0, n_clients=3)
    config = replace(
        small, cvae_network="convolutional", cvae_width=8, cvae_steps=100, cvae_lr=1e-2
    )
    shard = open_federation(task).shards[0]
    real = shard.images[shard.indices].float() / 127.5 - 1
    labels = shard.labels[shard.indices]
    trained = client_cvae(task, config, 0)
    decoders = Decoders(task, config, [trained["state"]], shard.label_counts[None])
    drawn, drawn_labels, _ = decoders.draw_labelled(300, torch.Generator().manual_seed(0))
    mean_drawn = torch.stack([drawn[drawn_labels == c].mean(0) for c in range(10)]).flatten(1)
    mean_real = torch.stack([real[labels == c].mean(0) for c in range(10)]).flatten(1)
    assert torch.equal(torch.cdist(mean_drawn, mean_real).argmin(1), torch.arange(10))


def test_modules_of_a_class_can_convolve_too(store, small, task):
    config = replace(small, cvae_network="convolutional", cvae_width=2)
    modules = client_modules(task, config, 0)
    assert modules["states"][0].keys() == new_decoder(task, config, 0).state_dict().keys()
