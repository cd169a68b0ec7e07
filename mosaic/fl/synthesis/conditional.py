"""The conditional generator of DFRD and FedFTG."""

import math

import torch
from torch import Tensor, nn

from mosaic.fl.fast.convolutions import ConvTranspose2d


class ConditionalGenerator(nn.Module):
    """Noise (B, Z) and labels (B,) to images (B, C, S, S): the deconvolutions of DFRD and of its study's FedFTG.

    ``condition``: "multiply" gates the noise by the label's embedding (DFRD), "concatenate" appends the embedding to it
    (FedFTG). 4x4 at first, then as many doublings as the size asks for; an image size between two powers of two is cut
    from the middle. At noise 100, 10 classes, 3 channels, 32x32: 3,448,552 and 4,267,752 parameters.
    """

    def __init__(
        self, latent: int, n_classes: int, channels: int, size: int, condition: str, ngf: int = 64
    ):
        super().__init__()
        self.latent, self.size, self.multiply = latent, size, condition == "multiply"
        self.embedding = nn.Embedding(n_classes, latent)
        doublings = max(1, math.ceil(math.log2(size / 4)))
        widths = [ngf * min(8, 2**i) for i in reversed(range(1, doublings + 1))]
        first = ConvTranspose2d(
            latent if self.multiply else 2 * latent, widths[0], 4, 1, 0, bias=False
        )
        layers: list[nn.Module] = [first, nn.ReLU()]  # the authors' first layer has no BatchNorm
        for i, (n_in, n_out) in enumerate(zip(widths, [*widths[1:], channels], strict=True)):
            layers += [nn.BatchNorm2d(n_in), nn.ReLU(inplace=True)] if i else []
            layers += [ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def code(self, z: Tensor, labels: Tensor) -> Tensor:
        """The noise once it knows its label: (B, Z), or (B, 2Z) where they are concatenated."""
        e = self.embedding(labels)
        return z * e if self.multiply else torch.cat([z, e], 1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.draw(self.code(z, labels))

    def draw(self, code: Tensor) -> Tensor:
        """Images from what ``code`` returned."""
        x = self.layers(code[:, :, None, None])
        edge = (x.shape[-1] - self.size) // 2
        return x[:, :, edge : edge + self.size, edge : edge + self.size]
