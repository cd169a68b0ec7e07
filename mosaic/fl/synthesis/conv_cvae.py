"""The convolutional networks of a conditional VAE, with ``cvae_network="convolutional"``.

Both have two layers of strided 4x4 convolutions, as DCGAN's have (Radford et al., ICLR 2016), and
take what the perceptrons of ``cvae.py`` take. FedCVAE's code has convolutions too.

In the shapes below, B is a batch, Z the noise's dimension, K the number of classes, and P = C S S
the values of an image (C, S, S).
"""

import torch
from torch import Tensor, nn

from mosaic.fl.fast.convolutions import Conv2d, ConvTranspose2d

ENCODER_UNITS = 128
"""Units of the encoder's hidden layer, in which image and label meet."""


class ConvDecoder(nn.Module):
    """Noise and the label's one-hot (B, Z + K) to logits of an image's values (B, P).

    A linear layer gives a quarter of the image's height and width; two layers double them. An
    image whose size 4 does not divide is cut from the middle.

    Args:
        n_in: Z + K.
        width: Channels at half the image's size; at a quarter there are twice as many.
        channels: C.
        size: S.
    """

    def __init__(self, n_in: int, width: int, channels: int, size: int):
        super().__init__()
        self.size = size
        self.start = (2 * width, -(-size // 4), -(-size // 4))
        self.linear = nn.Linear(n_in, 2 * width * self.start[1] ** 2)
        self.layers = nn.Sequential(
            nn.ReLU(),
            ConvTranspose2d(2 * width, width, 4, 2, 1),
            nn.ReLU(),
            ConvTranspose2d(width, channels, 4, 2, 1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.linear(inputs).unflatten(1, self.start)
        x = self.layers(x.contiguous(memory_format=torch.channels_last))
        edge = (x.shape[-1] - self.size) // 2
        return x[:, :, edge : edge + self.size, edge : edge + self.size].flatten(1)


class ConvEncoder(nn.Module):
    """An image and the label's one-hot (B, P + K) to its code's mean and log-variance (B, 2Z).

    Args:
        n_classes: K.
        width: Channels of the first layer; the second has twice as many.
        channels: C.
        size: S.
        n_out: 2Z.
    """

    def __init__(self, n_classes: int, width: int, channels: int, size: int, n_out: int):
        super().__init__()
        self.shape = (channels, size, size)
        self.n_pixels = channels * size**2
        self.convolutions = nn.Sequential(
            Conv2d(channels, width, 4, 2, 1),
            nn.ReLU(),
            Conv2d(width, 2 * width, 4, 2, 1),
            nn.ReLU(),
        )
        n_features = 2 * width * (size // 2 // 2) ** 2
        self.linear = nn.Sequential(
            nn.Linear(n_features + n_classes, ENCODER_UNITS),
            nn.ReLU(),
            nn.Linear(ENCODER_UNITS, n_out),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        image = inputs[:, : self.n_pixels].unflatten(1, self.shape)
        features = self.convolutions(image.contiguous(memory_format=torch.channels_last))
        return self.linear(torch.cat([features.flatten(1), inputs[:, self.n_pixels :]], 1))
