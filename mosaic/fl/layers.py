"""Convolutions in their cheapest form: PyTorch's layers with the same weights, state and result (to rounding).

Generators and discriminators begin and end at single pixels, where a convolution is a matrix product, and PyTorch's
takes up to five times as long on a CPU.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class PointConv2d(nn.Conv2d):
    """A convolution. Where one pixel comes out, (B, O, 1, 1), it is the product of what its window sees and weights."""

    def forward(self, x: Tensor) -> Tensor:
        (height, width), (top, left) = self.kernel_size, self.padding
        if x.shape[2] + 2 * top - height >= self.stride[0] or x.shape[3] + 2 * left - width >= self.stride[1]:
            return super().forward(x)
        high, wide = min(x.shape[2], height - top), min(x.shape[3], width - left)  # what of the image is seen
        seen = self.weight[:, :, top : top + high, left : left + wide]
        return F.linear(x[:, :, :high, :wide].flatten(1), seen.flatten(1), self.bias)[:, :, None, None]


class PointConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, (B, C, 1, 1) to (B, O, k, k), stride 1, no padding, no bias."""

    def forward(self, x: Tensor) -> Tensor:
        # pixel by pixel, so that what comes out is channels_last
        y = F.linear(x.flatten(1), self.weight.permute(2, 3, 1, 0).flatten(0, 2))
        return y.unflatten(1, (*self.kernel_size, self.out_channels)).permute(0, 3, 1, 2)


class PixelwiseConv2d(nn.Conv2d):
    """A 1x1 convolution: the matrix product of each pixel's channels, where they lie side by side (channels_last)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class DoublingConv2d(nn.Conv2d):
    """Doubling by nearest neighbours, then a 3x3 convolution with padding 1: (B, C, H, W) to (B, O, 2H, 2W).

    It is one transposed convolution of stride 2, whose 4x4 weights are the 3x3 ones laid over each of the 2x2 copies of
    a pixel: four products a pixel instead of nine, and the doubled image is never written.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__(n_in, n_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight.flip(2, 3).transpose(0, 1)
        w = F.pad(w, (0, 1)) + F.pad(w, (1, 0))
        w = F.pad(w, (0, 0, 0, 1)) + F.pad(w, (0, 0, 1, 0))
        return F.conv_transpose2d(x, w, stride=2, padding=1)
