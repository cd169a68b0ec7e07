"""ResNet-18 for small images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d
from mosaic.fl.models.norms import norm_relu_pool, plain_norm
from mosaic.fl.models.spec import Spec


class BasicBlock(nn.Module):
    """Two normalised 3x3 convolutions and a shortcut (He et al., CVPR 2016, section 3.3).

    (B, n_in, H, W) to (B, n_out, ceil(H / stride), ceil(W / stride)).

    In place of a 1x1 convolution of stride 2, the shortcut has one of stride 1 over every other
    pixel: the same numbers and the same state. The reason is a bug of PyTorch 2.14: the backward
    pass of its strided one writes past its memory for fewer than 8 channels on AVX2 processors
    (channels_last; oneDNN's ``brgconv_strided:avx2``).
    """

    def __init__(self, n_in: int, n_out: int, stride: int, norm: str):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = norm_relu_pool(norm, n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = plain_norm(norm, n_out)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.add_module("conv", nn.Conv2d(n_in, n_out, 1, bias=False))
            self.shortcut.add_module("norm", plain_norm(norm, n_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x))
        y = self.norm2(self.conv2(y))
        return torch.relu(y + self.shortcut(x[:, :, :: self.stride, :: self.stride]))


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) with the stem for CIFAR: one 3x3 convolution, no pooling.

    11,173,962 parameters at base width 64 with 3 channels and 10 classes.

    Args:
        spec: The network's shape.
        channels: Output channels of the four stages; those of the first are the stem's too.
    """

    def __init__(self, spec: Spec, channels: Sequence[int]):
        super().__init__()
        self.conv = Conv2d(spec.channels, channels[0], 3, padding=1, bias=False)
        self.norm = norm_relu_pool(spec.norm, channels[0])

        stages = []
        n_in = channels[0]
        for i, n_out in enumerate(channels):
            stride = 1 if i == 0 else 2
            first = BasicBlock(n_in, n_out, stride, spec.norm)
            second = BasicBlock(n_out, n_out, 1, spec.norm)
            stages.append(nn.Sequential(first, second))
            n_in = n_out
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(n_in, spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, 8w), the mean over the last stage's pixels."""
        return self.stages(self.norm(self.conv(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def resnet_group(name: str) -> tuple[str, ...]:
    """The channel groups of a tensor of ResNet18's state; stage i has the channels c(i + 1)."""
    if name.startswith("linear"):
        return ("classes", "c4")
    if not name.startswith("stages"):
        return ("c1", "image")

    _, stage, block, layer = name.split(".")[:4]
    n_out = f"c{int(stage) + 1}"
    reads_previous_stage = block == "0" and layer in ("conv1", "shortcut")
    if reads_previous_stage and int(stage) > 0:
        return (n_out, f"c{int(stage)}")
    return (n_out, n_out)
