"""DCGAN (Radford et al., ICLR 2016): a generator and a discriminator, as deep as images require."""

import math

from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d, ConvTranspose2d, PixelwiseConv2d


class Generator(nn.Module):
    """DCGAN's generator: noise (B, Z) to images (B, C, S, S) in [-1, 1].

    It begins at 4x4 pixels and doubles them as often as the image size requires, halving the
    channels each time (at most 8 ngf). A 1x1 convolution to the image's channels and tanh follow.
    If the size is between two powers of two, the middle is cut out. 3,573,824 parameters at latent
    100, ngf 64, 3 channels and 32x32 pixels.

    Args:
        latent: Z.
        ngf: Channels of the last hidden layer.
        channels: C, of the images.
        size: S in pixels.
    """

    def __init__(self, latent: int, ngf: int, channels: int, size: int):
        super().__init__()
        self.latent = latent
        self.size = size
        doublings = max(1, math.ceil(math.log2(size / 4)))
        widths = [ngf * min(8, 2**i) for i in reversed(range(doublings + 1))]

        layers: list[nn.Module] = [ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False)]
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            layers.append(nn.BatchNorm2d(n_in))
            layers.append(nn.ReLU(inplace=True))
            layers.append(ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False))
        layers.append(nn.BatchNorm2d(ngf))
        layers.append(nn.ReLU(inplace=True))
        layers.append(PixelwiseConv2d(ngf, channels, 1, bias=False))
        layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        x = self.layers(z[:, :, None, None])
        edge = (x.shape[-1] - self.size) // 2
        return x[:, :, edge : edge + self.size, edge : edge + self.size]


def discriminator(ndf: int, channels: int, size: int, batch_norm: bool) -> nn.Sequential:
    """DCGAN's discriminator: images (B, C, S, S) to logits (B, 1).

    It halves the images down to 2 pixels or fewer.

    Args:
        ndf: Channels of the first layer; they double with each halving, to at most 8 ndf.
        channels: C, of the images.
        size: S in pixels.
        batch_norm: Whether all but the first of these layers have BatchNorm, as DCGAN's do.
    """
    halvings = max(1, math.ceil(math.log2(size)) - 1)
    layers: list[nn.Module] = []
    n_in = channels
    for i in range(halvings):
        n_out = ndf * min(8, 2**i)
        layers.append(Conv2d(n_in, n_out, 4, 2, 1, bias=False))
        if i > 0 and batch_norm:
            layers.append(nn.BatchNorm2d(n_out))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        n_in = n_out
    layers.append(Conv2d(n_in, 1, size >> halvings, bias=False))  # all pixels that are left
    layers.append(nn.Flatten())
    return nn.Sequential(*layers)


def dcgan_init(network: nn.Module) -> None:
    """Draw DCGAN's initial weights in place, from PyTorch's global random state.

    Weights from N(0, 0.02^2) and BatchNorm scales from N(1, 0.02^2) (Radford et al., section 3).

    A network without BatchNorm has He's initialisation instead (ICCV 2015), which keeps the
    variance from layer to layer. With DCGAN's, such a discriminator gives every image the same
    logit for hundreds of steps; BatchNorm would undo the scale of the weights.
    """
    has_norms = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            if has_norms:
                nn.init.normal_(module.weight, 0.0, 0.02)
            else:
                nn.init.kaiming_normal_(module.weight, 0.2)
