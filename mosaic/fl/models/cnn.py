"""The convolutional networks for small images."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d
from mosaic.fl.fast.fused_norm import NormReluPool
from mosaic.fl.models.spec import Spec


class ConvBlock(nn.Sequential):
    def __init__(self, n_in: int, n_out: int, pool: bool):
        super().__init__()
        self.conv = Conv2d(
            n_in, n_out, 3, padding=1, bias=False
        )  # of 8x8 images the last sees one pixel
        self.norm = NormReluPool(n_out, pool)


class CNN(nn.Module):
    """Four 3x3 convolutions with BatchNorm, of w, 2w, 4w, 4w channels, three of them pooled; images from 8x8.

    ``features``: (B, C, H, W) to (B, 4w), the mean over space. The house's network for small grey images.
    """

    def __init__(self, spec: Spec, channels: Sequence[int]):
        super().__init__()
        widths = [spec.channels, *channels]
        self.blocks = nn.Sequential(
            *(ConvBlock(widths[i], widths[i + 1], pool=i < 3) for i in range(4))
        )
        self.linear = nn.Linear(widths[4], spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.blocks(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def cnn_group(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "c4")
    i = int(name.split(".")[1])
    return (f"c{i + 1}", f"c{i}" if i else "image")


class CNN2(nn.Module):
    """Two 5x5 convolutions with BatchNorm, of w and 2w channels, both pooled, and a classifier of all their pixels.

    DENSE's network for grey images (Zhang et al., NeurIPS 2022): 29,034 parameters at w = 16, 28x28 and 10 classes.
    ``features``: (B, C, S, S) to (B, 2w (S/4)^2). It has no narrower versions.
    """

    def __init__(self, spec: Spec, channels: Sequence[int]):
        super().__init__()
        widths = [spec.channels, *channels]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(Conv2d(n_in, n_out, 5, padding=2), NormReluPool(n_out, pool=True))
                for n_in, n_out in itertools.pairwise(widths)
            )
        )
        self.linear = nn.Linear(widths[2] * (spec.size // 4) ** 2, spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def cnn2_group(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "pixels")
    return ("c1", "image") if name.startswith("blocks.0") else ("c2", "c1")
