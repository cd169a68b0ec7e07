"""The fast convolutions are PyTorch's: the same weights, results and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mosaic.fl.fast.convolutions import (
    Conv2d,
    ConvTranspose2d,
    DoublingConv2d,
    PixelwiseConv2d,
    spread,
    windows,
)


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.interpolate(x, scale_factor=2))


CASES = {
    "the window is the image": (Conv2d(3, 5, 4, bias=True), nn.Conv2d(3, 5, 4), (3, 4, 4)),
    "the window ends in padding": (Conv2d(3, 5, 4, 2, 1), nn.Conv2d(3, 5, 4, 2, 1), (3, 3, 3)),
    "the window begins in padding": (Conv2d(3, 5, 4, 2, 1), nn.Conv2d(3, 5, 4, 2, 1), (3, 2, 2)),
    "a row is not covered": (Conv2d(3, 5, 2, 2), nn.Conv2d(3, 5, 2, 2), (3, 3, 3)),
    "a pixel in padding": (Conv2d(3, 5, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1), (3, 1, 1)),
    "two pixels come out": (Conv2d(3, 5, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1), (3, 1, 2)),
    "from a pixel": (
        ConvTranspose2d(6, 5, 4, bias=False),
        nn.ConvTranspose2d(6, 5, 4, bias=False),
        (6, 1, 1),
    ),
    "pixel by pixel": (PixelwiseConv2d(6, 2, 1), nn.Conv2d(6, 2, 1), (6, 5, 7)),
    "from one channel": (Conv2d(1, 5, 3, padding=1), nn.Conv2d(1, 5, 3, padding=1), (1, 6, 7)),
    "from one channel, every other pixel": (
        Conv2d(1, 5, 4, 2, 1, bias=False),
        nn.Conv2d(1, 5, 4, 2, 1, bias=False),
        (1, 7, 8),
    ),
    "to one channel": (Conv2d(6, 1, 3, padding=1), nn.Conv2d(6, 1, 3, padding=1), (6, 5, 7)),
    "to three channels, unpadded": (Conv2d(6, 3, 3), nn.Conv2d(6, 3, 3), (6, 5, 7)),
    "padded by more than its window": (
        Conv2d(6, 3, 1, padding=1),
        nn.Conv2d(6, 3, 1, padding=1),
        (6, 2, 2),
    ),
    "doubling to three channels": (
        ConvTranspose2d(6, 3, 4, 2, 1),
        nn.ConvTranspose2d(6, 3, 4, 2, 1),
        (6, 5, 7),
    ),
    "doubled": (DoublingConv2d(4, 3), Doubled(4, 3, 3, padding=1, bias=False), (4, 5, 6)),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES)
def test_the_same_state_gives_the_same_result_and_gradients(case, layout):
    fast, reference, shape = CASES[case]
    fast.load_state_dict(reference.state_dict())
    fast.to(memory_format=layout).zero_grad()
    reference.zero_grad()
    images = torch.randn(7, *shape, generator=torch.Generator().manual_seed(0))
    x = images.clone(memory_format=layout).requires_grad_()
    reference_x = images.clone().requires_grad_()

    y = fast(x)
    reference_y = reference(reference_x)
    torch.testing.assert_close(y, reference_y)

    y.square().sum().backward()
    reference_y.square().sum().backward()
    pairs = [(x, reference_x), (fast.weight, reference.weight)]
    if reference.bias is not None:
        pairs.append((fast.bias, reference.bias))
    for tensor, reference_tensor in pairs:
        torch.testing.assert_close(tensor.grad, reference_tensor.grad, rtol=1e-4, atol=1e-4)
    if reference_y.shape[2] > 1 and layout == torch.channels_last:
        assert y.is_contiguous(memory_format=layout)


def test_windows_and_their_adjoint_by_hand():
    """2x2 windows of 1 2 3 / 4 5 6: two of them; summed back, the middle column is in both."""
    x = torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]])
    seen = windows(x, 2, 1, 0)
    assert torch.equal(seen, torch.tensor([[1.0, 2], [2, 3], [4, 5], [5, 6]]))
    assert torch.equal(
        spread(seen, x.shape, (1, 2), 2, 1, 0), torch.tensor([[[[1.0, 4, 3], [4, 10, 6]]]])
    )


def test_the_weights_of_doubling_by_hand():
    """One pixel of 1 becomes 2x2 of 1; a 3x3 kernel of ones, padded, covers all four each time."""
    layer = DoublingConv2d(1, 1)
    nn.init.ones_(layer.weight)
    assert torch.equal(layer(torch.ones(1, 1, 1, 1)), torch.full((1, 1, 2, 2), 4.0))
