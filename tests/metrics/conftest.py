"""Real digits and a small domain classifier, for the tests of metrics."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmarks.metrics.fidelity import Extractor, reference
from mosaic.fl.data.transforms import normalise


@pytest.fixture(scope="module")
def digits():
    """uint8 (1797, 1, 8, 8) and labels."""
    data = load_digits()
    images = torch.from_numpy(data.images * 255 / 16).round().to(torch.uint8)
    return images[:, None], torch.from_numpy(data.target)


@pytest.fixture(scope="module")
def domain(digits):
    """A random layer of 16 features, and the least-squares classifier over them."""
    images, labels = digits
    rng = torch.Generator().manual_seed(0)
    layer = torch.randn(64, 16, generator=rng, dtype=torch.float64) / 8

    def features(x):
        return (x.double().flatten(1) @ layer).tanh()

    targets = nn.functional.one_hot(labels, 10).double()
    linear = 10 * torch.linalg.lstsq(features(normalise(images)), targets).solution
    return Extractor("domain", lambda x: (features(x), features(x) @ linear))


@pytest.fixture(scope="module")
def real(digits, domain):
    return reference(domain, digits[0], n=300, seed=1)
