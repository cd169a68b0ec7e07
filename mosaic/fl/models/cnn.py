"""The convolutional networks for small images: CNN and CNN2."""

from collections.abc import Sequence

from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d
from mosaic.fl.models.norms import norm_relu_pool
from mosaic.fl.models.spec import Spec


class ConvBlock(nn.Sequential):
    """3x3 convolution, normalisation, ReLU and, with ``pool``, 2x2 max-pooling.

    (B, n_in, H, W) to (B, n_out, H, W), or to (B, n_out, H // 2, W // 2) with ``pool``.
    """

    def __init__(self, n_in: int, n_out: int, pool: bool, norm: str):
        super().__init__()
        self.conv = Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.norm = norm_relu_pool(norm, n_out, pool)


class CNN(nn.Module):
    """Four normalised 3x3 convolutions of w, 2w, 4w and 4w channels; this project's default.

    The first three are followed by max-pooling, so that of 8x8 images, the smallest it takes, the
    last convolution sees one pixel. The features are the mean over the pixels that are left.

    Args:
        spec: The network's shape.
        channels: Output channels of the four convolutions.
    """

    def __init__(self, spec: Spec, channels: Sequence[int]):
        super().__init__()
        widths = [spec.channels, *channels]
        blocks = [ConvBlock(widths[i], widths[i + 1], i < 3, spec.norm) for i in range(4)]
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(widths[4], spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, 4w)."""
        return self.blocks(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def cnn_group(name: str) -> tuple[str, ...]:
    """The channel groups of a tensor of CNN's state; ``blocks.2.conv.weight`` is ("c3", "c2")."""
    if name.startswith("linear"):
        return ("classes", "c4")
    i = int(name.split(".")[1])
    return (f"c{i + 1}", f"c{i}" if i else "image")


class CNN2(nn.Module):
    """Two normalised 5x5 convolutions of w and 2w channels, both pooled, and a classifier.

    DENSE's network for grey images (Zhang et al., NeurIPS 2022): 29,034 parameters at w = 16, 28x28
    pixels and 10 classes. The classifier reads all pixels. There are no narrow versions.

    Args:
        spec: The network's shape; ``spec.size`` S fixes the classifier's inputs.
        channels: Output channels of the two convolutions.
    """

    def __init__(self, spec: Spec, channels: Sequence[int]):
        super().__init__()
        first, second = channels
        self.blocks = nn.Sequential(
            nn.Sequential(
                Conv2d(spec.channels, first, 5, padding=2),
                norm_relu_pool(spec.norm, first, pool=True),
            ),
            nn.Sequential(
                Conv2d(first, second, 5, padding=2),
                norm_relu_pool(spec.norm, second, pool=True),
            ),
        )
        self.linear = nn.Linear(second * (spec.size // 4) ** 2, spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Images (B, C, S, S) to features (B, 2w (S // 4)^2)."""
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def cnn2_group(name: str) -> tuple[str, ...]:
    """The channel groups of a tensor of CNN2's state."""
    if name.startswith("linear"):
        return ("classes", "pixels")
    if name.startswith("blocks.0"):
        return ("c1", "image")
    return ("c2", "c1")
