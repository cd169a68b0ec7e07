"""Convolutions in their cheapest form: PyTorch's layers with the same weights, state and result (to rounding).

Generators and discriminators begin and end at single pixels, where a convolution is a matrix product and PyTorch's
takes up to five times as long on a CPU; grey images have one channel, where PyTorch's passes take three to ten times as
long as a matrix product and k^2 sums of shifted images (``windows``, ``spread``).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 3  # channels of an image, at most


class Conv2d(nn.Conv2d):
    """A convolution (B, C, H, W) to (B, O, H', W'), with equal strides and paddings to all sides.

    Where one pixel comes out it is the product of what its window sees and weights; from one channel, or to few, see
    ``_FromOneChannel`` and ``_ToFewChannels``.
    """

    def forward(self, x: Tensor) -> Tensor:
        (height, width), (top, left) = self.kernel_size, self.padding
        if (
            x.shape[2] + 2 * top - height < self.stride[0]
            and x.shape[3] + 2 * left - width < self.stride[1]
        ):
            high, wide = (
                min(x.shape[2], height - top),
                min(x.shape[3], width - left),
            )  # what of the image is seen
            seen = self.weight[:, :, top : top + high, left : left + wide]
            return F.linear(x[:, :, :high, :wide].flatten(1), seen.flatten(1), self.bias)[
                :, :, None, None
            ]
        if self.in_channels == 1 and _on_cpu_in_float32(x):
            return _FromOneChannel.apply(x, self.weight, self.bias, self.stride[0], top)
        if (
            self.out_channels <= FEW
            and self.stride == (1, 1)
            and top < height
            and _on_cpu_in_float32(x)
        ):
            turned = self.weight.flip(2, 3).transpose(0, 1)  # those of the transposed convolution
            return _ToFewChannels.apply(x, turned, self.bias, 1, height - 1 - top)
        return super().forward(x)


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution (B, C, H, W) to (B, O, H', W'), with equal strides and paddings to all sides.

    From single pixels, without padding, it is a matrix product; to few channels see ``_ToFewChannels``.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] == (1, 1) and self.padding == (0, 0) and self.bias is None:
            # pixel by pixel, so that what comes out is channels_last
            y = F.linear(x.flatten(1), self.weight.permute(2, 3, 1, 0).flatten(0, 2))
            return y.unflatten(1, (*self.kernel_size, self.out_channels)).permute(0, 3, 1, 2)
        if self.out_channels <= FEW and _on_cpu_in_float32(x):
            return _ToFewChannels.apply(x, self.weight, self.bias, self.stride[0], self.padding[0])
        return super().forward(x)


class PixelwiseConv2d(nn.Conv2d):
    """A 1x1 convolution: the matrix product of each pixel's channels, where they lie side by side (channels_last)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(
            0, 3, 1, 2
        )


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


class _FromOneChannel(torch.autograd.Function):
    """A convolution of images of one channel; PyTorch's forward pass, but both gradients by matrix products."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, pad: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pad = stride, pad
        return F.conv2d(x, weight, bias, stride, pad)

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, *_ = ctx.needs_input_grad
        pixels, taps = _pixels(g), weight.permute(2, 3, 1, 0)
        k = len(taps)
        dx = (
            spread(taps.flatten(0, 2) @ pixels.t(), x.shape, g.shape[2:], k, ctx.stride, ctx.pad)
            if of_x
            else None
        )
        dw = (
            (windows(x, k, ctx.stride, ctx.pad) @ pixels).view(taps.shape).permute(3, 2, 0, 1)
            if of_weight
            else None
        )
        return dx, dw, pixels.sum(0) if of_bias else None, None, None


class _ToFewChannels(torch.autograd.Function):
    """A transposed convolution to images of few channels, all passes by matrix products; weights (C, O, k, k)."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, pad: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pad = stride, pad
        taps = weight.permute(2, 3, 1, 0)
        k = len(taps)
        size = [(n - 1) * stride + k - 2 * pad for n in x.shape[2:]]
        shape = (len(x), weight.shape[1], *size)
        y = spread(taps.flatten(0, 2) @ _pixels(x).t(), shape, x.shape[2:], k, stride, pad)
        return y if bias is None else y + bias[:, None, None]

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, *_ = ctx.needs_input_grad
        taps = weight.permute(2, 3, 1, 0)
        seen = windows(g, len(taps), ctx.stride, ctx.pad)
        dx = (
            (seen.t() @ taps.flatten(0, 2)).view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)
            if of_x
            else None
        )
        dw = (seen @ _pixels(x)).view(taps.shape).permute(3, 2, 0, 1) if of_weight else None
        return dx, dw, g.sum((0, 2, 3)) if of_bias else None, None, None


def _on_cpu_in_float32(x: Tensor) -> bool:
    return (
        x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    )


def _pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B H W, C): a view where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def windows(x: Tensor, k: int, stride: int, pad: int) -> Tensor:
    """What each weight of a k x k convolution is multiplied with: (B, C, H, W) to (k k C, B H' W')."""
    x = F.pad(x, (pad,) * 4)
    b, c, *size = x.shape
    h, w = ((n - k) // stride + 1 for n in size)
    seen = x.new_empty(k, k, c, b, h, w)
    for i in range(k):
        for j in range(k):
            seen[i, j] = x[
                :, :, i : i + stride * h : stride, j : j + stride * w : stride
            ].transpose(0, 1)
    return seen.view(k * k * c, b * h * w)


def spread(
    y: Tensor, shape: tuple[int, ...], size: tuple[int, int], k: int, stride: int, pad: int
) -> Tensor:
    """The adjoint of ``windows``: (k k C, B H' W') to images of ``shape`` (B, C, H, W), added where they overlap."""
    (b, c, height, width), (h, w) = shape, size
    y = y.view(k, k, c, b, h, w)
    images = y.new_zeros(c, b, height + 2 * pad, width + 2 * pad)
    for i in range(k):
        for j in range(k):
            images[:, :, i : i + stride * h : stride, j : j + stride * w : stride] += y[i, j]
    images = images[:, :, pad : pad + height, pad : pad + width].transpose(0, 1)
    return images.contiguous(memory_format=torch.channels_last)
