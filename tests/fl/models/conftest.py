"""A small model from outside the package, which has narrow versions, for the tests of models."""

import pytest
from torch import nn

from mosaic.fl.models.live_network import live_network
from mosaic.fl.models.registry import MODELS, Model


class TwoConvolutions(nn.Module):
    """Two convolutions of equally many channels, with BatchNorm."""

    def __init__(self, spec, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(spec.channels, channels[0], 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels[0])
        self.conv2 = nn.Conv2d(channels[0], channels[1], 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels[1])
        self.linear = nn.Linear(channels[1], spec.n_classes)

    def features(self, x):
        x = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(x)).relu().mean((2, 3))

    def forward(self, x):
        return self.linear(self.features(x))


def two_groups(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "c2")
    if name.startswith(("conv1", "norm1")):
        return ("c1", "image")
    return ("c2", "c1")


@pytest.fixture
def two_convolutions() -> Model:
    """A model that keeps the rules. Its groups c1 and c2 are of the same size."""
    return Model(TwoConvolutions, two_groups, (2, 2))


@pytest.fixture(autouse=True)
def restored_models():
    """Models that a test adds are removed after it."""
    before = dict(MODELS)
    yield
    MODELS.clear()
    MODELS.update(before)
    live_network.cache_clear()
