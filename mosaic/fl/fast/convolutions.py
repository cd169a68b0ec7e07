"""Convolutions that are faster on a CPU: PyTorch's layers with the same weights, state and results.

Results agree with PyTorch's up to rounding. There are two ideas.

- *Single pixels.* Generators begin and discriminators end at single pixels. There a convolution is
  one matrix product, and PyTorch's convolution takes up to five times as long.
- *Few channels.* Grey images have one channel, where PyTorch's passes take three to ten times as
  long as one matrix product and k^2 sums of shifted images (``windows``, ``spread``).

Shapes in the comments: B images, C input channels, O output channels, k x k weights, H x W pixels
of a layer's large side and h x w of its small side. All layers have square kernels, and equal
strides and paddings in both directions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

IMAGE_CHANNELS = 3  # "few" channels: those of an image


class Conv2d(nn.Conv2d):
    """A convolution (B, C, H, W) to (B, O, h, w).

    If the output is a single pixel, it is one matrix product. Single-channel inputs, and outputs
    with at most 3 channels, use the functions below. Everything else is PyTorch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self._gives_one_pixel(x):
            return self._one_pixel(x)

        kernel_size = self.kernel_size[0]
        stride = self.stride[0]
        padding = int(self.padding[0])
        if self.in_channels == 1 and _on_cpu_in_float32(x):
            return _FromOneChannel.apply(x, self.weight, self.bias, stride, padding)

        few_outputs = self.out_channels <= IMAGE_CHANNELS
        if few_outputs and stride == 1 and padding < kernel_size and _on_cpu_in_float32(x):
            # A convolution of stride 1 is also the transposed convolution with mirrored weights
            # (C, O, k, k).
            mirrored = self.weight.flip(2, 3).transpose(0, 1)
            return _ToFewChannels.apply(x, mirrored, self.bias, 1, kernel_size - 1 - padding)
        return super().forward(x)

    def _gives_one_pixel(self, x: Tensor) -> bool:
        """Whether the kernel fits into the padded image once only, in both directions."""
        for dim in (0, 1):
            padded = x.shape[2 + dim] + 2 * int(self.padding[dim])
            if padded - self.kernel_size[dim] >= self.stride[dim]:
                return False
        return True

    def _one_pixel(self, x: Tensor) -> Tensor:
        """(B, O, 1, 1): the product of the pixels under the kernel and their weights."""
        top, left = (int(padding) for padding in self.padding)
        # The pixels that the kernel covers: its first rows and columns are on the padding.
        height = min(x.shape[2], self.kernel_size[0] - top)
        width = min(x.shape[3], self.kernel_size[1] - left)
        covered = x[:, :, :height, :width]
        weights = self.weight[:, :, top : top + height, left : left + width]
        y = F.linear(covered.flatten(1), weights.flatten(1), self.bias)  # (B, O)
        return y[:, :, None, None]


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution (B, C, h, w) to (B, O, H, W).

    From single pixels, without padding and bias, it is one matrix product. Outputs with at most 3
    channels use ``_ToFewChannels``.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if x.shape[2:] == (1, 1) and self.padding == (0, 0) and self.bias is None:
            # Weights (C, O, k, k) to (k k O, C): pixel by pixel, so that the result is
            # channels_last.
            weights = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
            y = F.linear(x.flatten(1), weights)  # (B, k k O)
            y = y.unflatten(1, (*self.kernel_size, self.out_channels))  # (B, k, k, O)
            return y.permute(0, 3, 1, 2)
        if self.out_channels <= IMAGE_CHANNELS and _on_cpu_in_float32(x):
            stride = self.stride[0]
            padding = int(self.padding[0])
            return _ToFewChannels.apply(x, self.weight, self.bias, stride, padding)
        return super().forward(x)


class PixelwiseConv2d(nn.Conv2d):
    """A 1x1 convolution: a matrix product with the channels of each pixel.

    In the memory format channels_last they are side by side, so nothing is copied.
    """

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C)
        y = F.linear(pixels, self.weight.flatten(1), self.bias)
        return y.permute(0, 3, 1, 2)


class DoublingConv2d(nn.Conv2d):
    """Doubling by nearest neighbours, then a 3x3 convolution with padding 1, without bias.

    (B, C, H, W) to (B, O, 2H, 2W). Both together are one transposed convolution of stride 2. Its
    4x4 weights are the sum of the 3x3 weights laid over each of the 2x2 copies of a pixel. That
    takes four products per pixel instead of nine, and the doubled image is never written.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__(n_in, n_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weight.flip(2, 3).transpose(0, 1)  # (C, O, 3, 3)
        weights = F.pad(weights, (0, 1)) + F.pad(weights, (1, 0))  # (C, O, 3, 4)
        weights = F.pad(weights, (0, 0, 0, 1)) + F.pad(weights, (0, 0, 1, 0))  # (C, O, 4, 4)
        return F.conv_transpose2d(x, weights, stride=2, padding=1)


class _FromOneChannel(torch.autograd.Function):
    """A convolution of images of one channel.

    (B, 1, H, W) to (B, O, h, w), with weights (O, 1, k, k). The forward pass is PyTorch's; both
    gradients are matrix products.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        ctx.padding = padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        kernel_size = weight.shape[2]
        pixels = _pixels(grad)  # (B h w, O)
        taps = weight.permute(2, 3, 1, 0)  # (k, k, 1, O)

        grad_x = None
        if needs_x:
            per_tap = taps.flatten(0, 2) @ pixels.t()  # (k k, B h w)
            grad_x = spread(
                per_tap, x.shape, tuple(grad.shape[2:]), kernel_size, ctx.stride, ctx.padding
            )

        grad_weight = None
        if needs_weight:
            seen = windows(x, kernel_size, ctx.stride, ctx.padding)  # (k k, B h w)
            grad_taps = (seen @ pixels).view(taps.shape)
            grad_weight = grad_taps.permute(3, 2, 0, 1)

        grad_bias = pixels.sum(0) if needs_bias else None
        return grad_x, grad_weight, grad_bias, None, None


class _ToFewChannels(torch.autograd.Function):
    """A transposed convolution to images of few channels.

    (B, C, h, w) to (B, O, H, W), with weights (C, O, k, k). All passes are matrix products.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        ctx.padding = padding
        kernel_size = weight.shape[2]
        taps = weight.permute(2, 3, 1, 0)  # (k, k, O, C)

        per_tap = taps.flatten(0, 2) @ _pixels(x).t()  # (k k O, B h w)
        height, width = ((n - 1) * stride + kernel_size - 2 * padding for n in x.shape[2:])
        shape = (len(x), weight.shape[1], height, width)
        y = spread(per_tap, shape, tuple(x.shape[2:]), kernel_size, stride, padding)
        if bias is None:
            return y
        return y + bias[:, None, None]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        kernel_size = weight.shape[2]
        taps = weight.permute(2, 3, 1, 0)  # (k, k, O, C)
        seen = windows(grad, kernel_size, ctx.stride, ctx.padding)  # (k k O, B h w)

        grad_x = None
        if needs_x:
            pixels = seen.t() @ taps.flatten(0, 2)  # (B h w, C)
            grad_x = pixels.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)

        grad_weight = None
        if needs_weight:
            grad_taps = (seen @ _pixels(x)).view(taps.shape)
            grad_weight = grad_taps.permute(3, 2, 0, 1)

        grad_bias = grad.sum((0, 2, 3)) if needs_bias else None
        return grad_x, grad_weight, grad_bias, None, None


def _on_cpu_in_float32(x: Tensor) -> bool:
    """Whether a layer would compute in float32 on the CPU, where these functions are faster."""
    in_float32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return x.device.type == "cpu" and in_float32


def _pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B H W, C): a view where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def windows(x: Tensor, kernel_size: int, stride: int, padding: int) -> Tensor:
    """For each weight of a convolution, the values that it is multiplied with.

    Args:
        x: Images (B, C, H, W).
        kernel_size: k, the height and width of the kernel.
        stride: Pixels between two positions of the kernel.
        padding: Zeros on each side of an image.

    Returns:
        (k k C, B h w): row by row of the kernel, and channel by channel; for every position of
        the kernel, h x w of them per image.
    """
    x = F.pad(x, (padding,) * 4)
    n_images, channels, padded_height, padded_width = x.shape
    h = (padded_height - kernel_size) // stride + 1
    w = (padded_width - kernel_size) // stride + 1

    seen = x.new_empty(kernel_size, kernel_size, channels, n_images, h, w)
    for i in range(kernel_size):
        for j in range(kernel_size):
            shifted = x[:, :, i : i + stride * h : stride, j : j + stride * w : stride]
            seen[i, j] = shifted.transpose(0, 1)
    return seen.view(kernel_size * kernel_size * channels, n_images * h * w)


def spread(
    per_tap: Tensor,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    kernel_size: int,
    stride: int,
    padding: int,
) -> Tensor:
    """The adjoint of ``windows``: values go back to their pixels and are added where they meet.

    Args:
        per_tap: (k k C, B h w), laid out as the result of ``windows``.
        shape: (B, C, H, W) of the images.
        size: (h, w), the positions of the kernel in an image.
        kernel_size: k, the height and width of the kernel.
        stride: Pixels between two positions of the kernel.
        padding: Zeros on each side of an image; what falls on them is dropped.

    Returns:
        Images (B, C, H, W), channels_last.
    """
    n_images, channels, height, width = shape
    h, w = size
    per_tap = per_tap.view(kernel_size, kernel_size, channels, n_images, h, w)

    padded = per_tap.new_zeros(channels, n_images, height + 2 * padding, width + 2 * padding)
    for i in range(kernel_size):
        for j in range(kernel_size):
            shifted = padded[:, :, i : i + stride * h : stride, j : j + stride * w : stride]
            shifted += per_tap[i, j]

    images = padded[:, :, padding : padding + height, padding : padding + width].transpose(0, 1)
    return images.contiguous(memory_format=torch.channels_last)
