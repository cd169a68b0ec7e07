"""FID, KID and Inception Score from features and logits, by torchmetrics.

FID: Heusel et al., NeurIPS 2017, arXiv:1706.08500. KID: Binkowski et al., ICLR 2018,
arXiv:1801.01401. Inception Score: Salimans et al., NeurIPS 2016, arXiv:1606.03498.
"""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from mosaic.fl.rng import seed_of


def frechet(a: Tensor, b: Tensor) -> float:
    """Return the FID: the squared Frechet distance of the Gaussians fitted to two sets of features.

    Args:
        a: features (N, D), N >= 2.
        b: features (M, D), M >= 2.
    """
    metric = FrechetInceptionDistance(feature=FeatureInput(a.shape[1]))
    metric.update(b, real=True)
    metric.update(a, real=False)
    # rounding takes the distance of a set to itself just below 0
    return max(metric.compute().item(), 0.0)


def kernel(a: Tensor, b: Tensor, seed: int) -> float:
    """Return the KID: the unbiased squared maximum mean discrepancy of two sets of features.

    It is the mean over 100 subsets of min(100, N, M) features. The paper takes subsets of 1,000:
    the estimate is unbiased at any size, and noisier at a smaller one.

    Args:
        a: features (N, D).
        b: features (M, D).
        seed: fixes the subsets.
    """
    with quiet():
        metric = KernelInceptionDistance(
            feature=FeatureInput(a.shape[1]), subsets=100, subset_size=min(100, len(a), len(b))
        )
    metric.update(b, real=True)
    metric.update(a, real=False)
    with seeded(seed, "kid"):
        return metric.compute()[0].item()


def inception_score(logits: Tensor, seed: int) -> float:
    """Return the Inception Score, 1 to K: the mean over splits of the shuffled images.

    Splits have at least 5000 images, and there are at most 10 of them; so one split below 10 000
    images: the paper's ten splits of 5000 would shrink, and the score with them.

    Args:
        logits: (N, K).
        seed: fixes the splits.
    """
    # A class of probability 0 in every image is 0 * log(0 / 0) in torchmetrics; e^-600 is still
    # above 0 in float64.
    logits = logits.clamp_min(logits.amax(1, keepdim=True) - 600)
    splits = min(max(len(logits) // 5000, 1), 10)
    with quiet():
        metric = InceptionScore(feature=FeatureInput(logits.shape[1]), splits=splits)
    metric.update(logits)
    with seeded(seed, "is"), warnings.catch_warnings():
        # the deviation over splits, which is not used here, is undefined for one split
        warnings.filterwarnings("ignore", message=r"std\(\): degrees of freedom")
        return metric.compute()[0].item()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Build a metric without torchmetrics' warning that it keeps all features in memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*will save all extracted features", category=UserWarning
        )
        yield


@contextlib.contextmanager
def seeded(*names: int | str) -> Iterator[None]:
    """Compute a metric with the global CPU generator seeded, and put its state back afterwards.

    Args:
        names: what the seed is made from. torchmetrics draws from the global generator.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the GPUs
        torch.default_generator.manual_seed(seed_of(*names))
        yield


class FeatureInput(nn.Identity):
    """The feature network of a torchmetrics metric that is given features instead of images."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features
