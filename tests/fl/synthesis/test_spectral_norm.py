"""Spectral normalisation: the largest singular value, its vector, and where it stays in float32."""

import pytest
import torch
from torch import nn

from mosaic.fl.device import autocast
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.synthesis.dcgan import discriminator
from mosaic.fl.synthesis.spectral_norm import normalise_spectra


def with_weight(matrix: list[list[float]]) -> nn.Sequential:
    """A 1x1 convolution with these weights (O, C), spectrally normalised."""
    weight = torch.tensor(matrix)
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight[:, :, None, None])
    network = nn.Sequential(layer)
    torch.manual_seed(0)
    normalise_spectra(network)
    return network


def weights(network: nn.Module) -> list[torch.Tensor]:
    """The weights (O, C k k) that its convolutions compute with."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return [layer.weight.detach().flatten(1) for layer in layers]


def test_a_weight_is_divided_by_its_largest_singular_value():
    """Those of [[3, 0], [0, 1]] are 3 and 1."""
    (weight,) = weights(with_weight([[3.0, 0.0], [0.0, 1.0]]))
    assert torch.allclose(weight, torch.tensor([[1.0, 0.0], [0.0, 1 / 3]]), atol=1e-5)


def test_a_column_and_a_row_are_divided_by_their_length():
    for matrix in ([[3.0, 4.0]], [[3.0], [4.0]]):
        (weight,) = weights(with_weight(matrix))
        assert torch.allclose(weight, torch.tensor(matrix) / 5)


def test_every_layer_of_a_discriminator_has_spectral_norm_one():
    torch.manual_seed(0)
    network = discriminator(8, 1, 8, batch_norm=False)
    normalise_spectra(network)
    for _ in range(50):
        network(torch.randn(4, 1, 8, 8))
    assert len(weights(network)) == 3
    for weight in weights(network):
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, rel=1e-3)


def test_the_gradient_is_that_of_the_quotient():
    """w / |w| of w = (3, 4): the derivative of its first entry is (1 - 9/25, -12/25) / 5."""
    network = with_weight([[3.0, 4.0]])
    x = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    network(x).sum().backward()
    (raw,) = network.parameters()
    assert raw.grad is not None
    assert torch.allclose(raw.grad.flatten(), torch.tensor([16.0, -12.0]) / 125, atol=1e-6)


def test_only_passes_in_training_change_its_vector_and_the_state_has_it():
    network = with_weight([[2.0, 1.0], [0.0, 1.9]])
    x = torch.ones(1, 2, 1, 1)
    before = LiveNetwork(network).save()
    vectors = [name for name in before if "left" in name]
    assert len(vectors) == 1
    network.eval()(x)
    assert torch.equal(LiveNetwork(network).save()[vectors[0]], before[vectors[0]])
    network.train()(x)
    assert not torch.equal(LiveNetwork(network).save()[vectors[0]], before[vectors[0]])


def test_it_is_computed_in_float32_where_products_are_in_bfloat16():
    network = with_weight([[2.0, 1.0], [0.0, 1.9]]).eval()
    (wanted,) = weights(network)
    with autocast("bf16"):
        (found,) = weights(network)
    assert found.dtype == torch.float32 and torch.equal(found, wanted)
