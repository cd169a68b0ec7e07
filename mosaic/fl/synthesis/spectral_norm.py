"""Spectral normalisation of a discriminator's weights.

Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018.

PyTorch's own (``torch.nn.utils.parametrizations.spectral_norm``) is not used: inside autocast it
takes its products in bfloat16 on some devices, and stops there where its vectors are in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mosaic.fl.device import autocast

FIRST_ITERATIONS = 15
"""Of the power method before training, so that the first steps know the norm; PyTorch's number."""


class SpectralNorm(nn.Module):
    """A weight divided by an estimate of its largest singular value.

    The weight is taken as a matrix W with a row per output. Each pass in training goes one
    iteration further with the power method; others leave the state as it is.

    Args:
        weight: W before training. The first vector is drawn from PyTorch's global random state.
    """

    left: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn(len(matrix)), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self.left.copy_(_next_vectors(matrix, self.left)[0])

    def forward(self, weight: Tensor) -> Tensor:
        with autocast("fp32"):
            matrix = weight.flatten(1)
            left, right = _next_vectors(matrix, self.left)
            if self.training:
                self.left.copy_(left)
            return weight / torch.dot(left, matrix @ right)


def normalise_spectra(network: nn.Module) -> None:
    """Let all convolutions of a network compute with weights of spectral norm 1.

    The first vectors are drawn from PyTorch's global random state.

    Args:
        network: it has its initial weights; it is changed.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))


@torch.no_grad()
def _next_vectors(matrix: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """The left and the right singular vector after one more iteration of the power method."""
    right = F.normalize(matrix.t() @ left, dim=0)
    return F.normalize(matrix @ right, dim=0), right
