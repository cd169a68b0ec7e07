"""ResNet-18 for small images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d
from mosaic.fl.fast.fused_norm import NormReluPool
from mosaic.fl.models.spec import Spec


class BasicBlock(nn.Module):
    """Its 1x1 convolution of stride 2 is one of stride 1 over every other pixel: the same numbers and the same state.

    PyTorch 2.14's strided one writes past its memory in the backward pass of fewer than 8 channels on AVX2 processors
    (channels_last; oneDNN's ``brgconv_strided:avx2``).
    """

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = NormReluPool(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.add_module("conv", nn.Conv2d(n_in, n_out, 1, bias=False))
            self.shortcut.add_module("norm", nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x))
        return torch.relu(
            self.norm2(self.conv2(y)) + self.shortcut(x[:, :, :: self.stride, :: self.stride])
        )


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) with the CIFAR stem: one 3x3 convolution, no pooling.

    11,173,962 parameters at base width 64 with 3 channels and 10 classes. ``features``: (B, C, H, W) to (B, 8w).
    """

    def __init__(self, spec: Spec, channels: Sequence[int]):
        super().__init__()
        s = channels
        self.conv = Conv2d(spec.channels, s[0], 3, padding=1, bias=False)
        self.norm = NormReluPool(s[0])
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    BasicBlock(s[max(i - 1, 0)], s[i], 1 if i == 0 else 2),
                    BasicBlock(s[i], s[i], 1),
                )
                for i in range(4)
            )
        )
        self.linear = nn.Linear(s[3], spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.stages(self.norm(self.conv(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def resnet_group(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "c4")
    if not name.startswith("stages"):
        return ("c1", "image")
    _, stage, block, layer = name.split(".")[:4]
    out = f"c{int(stage) + 1}"
    entry = block == "0" and layer in ("conv1", "shortcut")  # reads the stage before
    return (out, f"c{max(int(stage), 1)}" if entry else out)
