"""The normalisation layers of the networks, by the name in ``Task.norm``: batch, group or none."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.fast.fused_norm import NormReluPool

NORMS = ("batch", "group", "none")
"""BatchNorm; GroupNorm; no normalisation, with a bias per channel in its place."""

GROUPS = 4
"""Groups of GroupNorm, as in the code of HeteroFL."""


def norm_relu_pool(norm: str, channels: int, pool: bool = False) -> nn.Module:
    """A layer for ReLU(norm(x)), then with ``pool`` the maximum of 2x2 windows.

    Args:
        norm: One of NORMS.
        channels: C.
        pool: Whether max-pooling follows.

    Returns:
        A layer from (B, C, H, W) to (B, C, H, W), or to (B, C, H // 2, W // 2) with ``pool``. Its
        parameters are ``weight`` (C,), which "none" lacks, and ``bias`` (C,).
    """
    if norm == "batch":
        return NormReluPool(channels, pool)
    return ThenReluPool(norm, channels, pool)


def plain_norm(norm: str, channels: int) -> nn.Module:
    """A layer for norm(x) alone; arguments and shapes as in :func:`norm_relu_pool`."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return GroupNormOrBias(norm, channels)


def n_groups(channels: int) -> int:
    """GROUPS; where they do not divide the channels, the largest number below that does both."""
    return math.gcd(channels, GROUPS)


class GroupNormOrBias(nn.Module):
    """GroupNorm(x), or x + bias where ``norm`` is "none"; (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, norm: str, channels: int):
        super().__init__()
        self.groups = n_groups(channels)
        self.weight = nn.Parameter(torch.ones(channels)) if norm == "group" else None
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return x + self.bias[:, None, None]
        return F.group_norm(x, self.groups, self.weight, self.bias)


class ThenReluPool(GroupNormOrBias):
    """ReLU(GroupNormOrBias(x)), then with ``pool`` the maximum of 2x2 windows."""

    def __init__(self, norm: str, channels: int, pool: bool):
        super().__init__(norm, channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if self.pool:
            x = F.max_pool2d(x, 2)  # before ReLU, which has a quarter of the work then
        return torch.relu(x)
