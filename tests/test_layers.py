"""Convolutions in their cheapest form are PyTorch's: the same weights, the same result, the same gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mosaic.fl.layers import DoublingConv2d, PixelwiseConv2d, PointConv2d, PointConvTranspose2d


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.interpolate(x, scale_factor=2))


CASES = {
    "all of the window seen": (PointConv2d(3, 5, 4, bias=True), nn.Conv2d(3, 5, 4), (3, 4, 4)),
    "the window ends in padding": (PointConv2d(3, 5, 4, 2, 1), nn.Conv2d(3, 5, 4, 2, 1), (3, 3, 3)),
    "and begins in it": (PointConv2d(3, 5, 4, 2, 1), nn.Conv2d(3, 5, 4, 2, 1), (3, 2, 2)),
    "a row is not seen": (PointConv2d(3, 5, 2, 2), nn.Conv2d(3, 5, 2, 2), (3, 3, 3)),
    "a pixel in padding": (PointConv2d(3, 5, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1), (3, 1, 1)),
    "two pixels come out": (PointConv2d(3, 5, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1), (3, 1, 2)),
    "from a pixel": (
        PointConvTranspose2d(6, 5, 4, bias=False),
        nn.ConvTranspose2d(6, 5, 4, bias=False),
        (6, 1, 1),
    ),
    "pixel by pixel": (PixelwiseConv2d(6, 2, 1), nn.Conv2d(6, 2, 1), (6, 5, 7)),
    "doubled": (DoublingConv2d(4, 3), Doubled(4, 3, 3, padding=1, bias=False), (4, 5, 6)),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES)
def test_the_same_state_gives_the_same_result_and_gradients(case, layout):
    ours, theirs, shape = CASES[case]
    ours.load_state_dict(theirs.state_dict())
    ours.to(memory_format=layout).zero_grad()
    theirs.zero_grad()
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(0))
    mine, same = x.clone(memory_format=layout).requires_grad_(), x.clone().requires_grad_()
    y, z = ours(mine), theirs(same)
    torch.testing.assert_close(y, z)
    y.square().sum().backward(), z.square().sum().backward()
    torch.testing.assert_close(mine.grad, same.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-4)
    if z.shape[2] > 1 and layout == torch.channels_last:
        assert y.is_contiguous(memory_format=layout)


def test_the_weights_of_doubling_by_hand():
    """One pixel of 1 becomes 2x2 of 1; under 3x3 ones with padding each of the 2x2 sees all four."""
    layer = DoublingConv2d(1, 1)
    nn.init.ones_(layer.weight)
    assert torch.equal(layer(torch.ones(1, 1, 1, 1)), torch.full((1, 1, 2, 2), 4.0))
