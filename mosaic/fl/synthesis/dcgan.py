"""The networks of Mosaic's generators: DCGAN (Radford et al., ICLR 2016), as deep as the image size asks for."""

import math

from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d, ConvTranspose2d, PixelwiseConv2d


class Generator(nn.Module):
    """DCGAN's generator (Radford et al., ICLR 2016): latent (B, Z) to images (B, C, S, S) in [-1, 1].

    4x4 at first, then as many doublings as the image size asks for, each with half the channels (at most 8 ngf), a 1x1
    convolution to the image's channels and tanh. A size between two powers of two is cut from the middle.
    3,573,824 parameters at latent 100, ngf 64, 3 channels, 32x32.
    """

    def __init__(self, latent: int, ngf: int, channels: int, size: int):
        super().__init__()
        doublings = max(1, math.ceil(math.log2(size / 4)))
        widths = [ngf * min(8, 2**i) for i in reversed(range(doublings + 1))]
        self.latent, self.size = latent, size
        layers: list[nn.Module] = [ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False)]
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            layers += [
                nn.BatchNorm2d(n_in),
                nn.ReLU(inplace=True),
                ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False),
            ]
        layers += [
            nn.BatchNorm2d(ngf),
            nn.ReLU(inplace=True),
            PixelwiseConv2d(ngf, channels, 1, bias=False),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        x = self.layers(z[:, :, None, None])
        edge = (x.shape[-1] - self.size) // 2
        return x[:, :, edge : edge + self.size, edge : edge + self.size]


def discriminator(ndf: int, channels: int, size: int, batch_norm: bool) -> nn.Sequential:
    """DCGAN's discriminator: images (B, C, S, S) to logits (B, 1), halving down to 2 pixels or fewer.

    ``batch_norm``: on all but the first layer, as DCGAN has it.
    """
    halvings = max(1, math.ceil(math.log2(size)) - 1)
    widths = [channels, *(ndf * min(8, 2**i) for i in range(halvings))]
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [Conv2d(n_in, n_out, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(n_out)] if i and batch_norm else []
        layers += [nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, Conv2d(widths[-1], 1, size >> halvings, bias=False), nn.Flatten())


def dcgan_init(network: nn.Module) -> None:
    """Weights N(0, 0.02), BatchNorm scales N(1, 0.02) (Radford et al., section 3).

    Without BatchNorm, to which the weights' scale is all the same, a discriminator of that scale would give every image
    the same answer for hundreds of steps: it starts from He's law (ICCV 2015), which keeps the variance.
    """
    normed = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02) if normed else nn.init.kaiming_normal_(
                module.weight, 0.2
            )
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
