"""How much generated images look like the real ones: FID, KID and Inception Score, and signs of a collapsed generator.

FID: Heusel et al., NeurIPS 2017, arXiv:1706.08500. KID: Binkowski et al., ICLR 2018, arXiv:1801.01401. Inception
Score: Salimans et al., NeurIPS 2016, arXiv:1606.03498. All three by torchmetrics, fed with features that are extracted
once, in float64 and on the CPU, so that the numbers do not depend on the device.

Names say over whose features: ``fid_domain`` over those of a small classifier of the task's own real images,
``fid_inception`` over Inception's. The two are not comparable. Each stands beside what real images score at the same
sample size ``fidelity_n``: ``fid_*_floor`` and ``kid_*_floor`` (real against other real ones), ``is_*_real``.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from mosaic.fl.data.transforms import normalise
from mosaic.fl.errors import InputError
from mosaic.fl.rng import seed_of, stream


@dataclass(frozen=True)
class Extractor:
    """``features``: float images (B, C, H, W) in [-1, 1] on ``device`` to features (B, D) and logits (B, K)."""

    name: str  # domain | inception
    features: Callable[[Tensor], tuple[Tensor, Tensor]]
    device: torch.device | str = "cpu"


@dataclass(frozen=True, eq=False)
class Reference:
    """What real images score among themselves, and the ``n`` of them that generated ones are compared with."""

    n: int
    features: Tensor  # (n, D) of the real half B
    fid_floor: float  # half A against half B
    kid_floor: float
    is_real: float  # of half A
    duplicate_distance: float  # see collapse
    warning: str  # why the FID is biased at this n; empty where it is not


def reference(extractor: Extractor, real: Tensor, n: int, seed: int) -> Reference:
    """Draw 2n of the ``real`` images (N, C, H, W), half A and half B of n each, and score A against B.

    Generated images are then scored, n of them, against the same half B: value and floor have the same sample size on
    both sides, and so the same bias. ``real``: uint8, or float in [-1, 1]. Raises InputError unless 2 <= n <= N / 2.
    """
    if not 2 <= n <= len(real) // 2:
        raise InputError(
            f"fidelity over n = {n} images: it takes n >= 2, and 2 n real images for the real-against-real floor. "
            f"There are {len(real)}; n can be 2 to {len(real) // 2}."
        )
    drawn = torch.randperm(len(real), generator=stream(seed, "real halves"))[: 2 * n]
    features, logits = extract(extractor, real[drawn.to(real.device)])
    a, b = features[:n], features[n:]
    d = features.shape[1]
    warning = (
        f"fid_{extractor.name} is over n = {n} images and {d} features: below n = {d + 1} the covariances are singular "
        "and the distance is far too large. Read it against its floor only, or take more images."
    )
    # exact copies come out of a float32 network, in batches of different sizes, up to about 1e-6 apart
    rounding = 1e-5 * (a - a.mean(0)).square().sum(1).mean().sqrt()
    return Reference(
        n=n,
        features=b,
        fid_floor=frechet(a, b),
        kid_floor=kernel(a, b, seed),
        is_real=inception_score(logits[:n], seed),
        duplicate_distance=max(nearest(a).quantile(0.01).item(), rounding.item()),
        warning=warning if n <= d else "",
    )


def fidelity(
    extractor: Extractor, generated: Tensor, reference: Reference, seed: int
) -> dict[str, float]:
    """Score the first ``reference.n`` of the ``generated`` images (N, C, H, W), float in [-1, 1] or uint8.

    Keys, with the extractor's name for *: ``fid_*`` and ``kid_*`` (lower is better, 0 for the same law; the unbiased
    KID may be slightly negative), ``is_*`` (1 to K, higher is better), ``fid_*_floor``, ``kid_*_floor``, ``is_*_real``
    and ``fidelity_n``; over the domain's features also those of :func:`collapse`. Raises ValueError for fewer images,
    FloatingPointError where images or features are not finite.
    """
    n, name = reference.n, extractor.name
    if len(generated) < n:
        raise ValueError(
            f"{len(generated)} generated images, but the reference has n = {n}: generate as many."
        )
    features, logits = extract(extractor, generated[:n])
    scores = {
        f"fid_{name}": frechet(features, reference.features),
        f"fid_{name}_floor": reference.fid_floor,
        f"is_{name}": inception_score(logits, seed),
        f"is_{name}_real": reference.is_real,
        f"kid_{name}": kernel(features, reference.features, seed),
        f"kid_{name}_floor": reference.kid_floor,
        "fidelity_n": n,
    }
    if name == "domain":  # Inception's classes are not the task's
        scores |= collapse(features, logits, reference.duplicate_distance)
    return scores


@torch.no_grad()
def extract(extractor: Extractor, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Features (N, D) and logits (N, K), float64 on the CPU, of ``images`` (N, C, H, W), uint8 or float in [-1, 1]."""
    parts = []
    for part in images.split(batch):
        part = part.to(extractor.device)
        part = normalise(part) if part.dtype == torch.uint8 else part.float()
        parts.append([out.double().cpu() for out in extractor.features(part)])
    features, logits = (torch.cat(column) for column in zip(*parts, strict=True))
    broken = ~(features.isfinite().all(1) & logits.isfinite().all(1))
    if broken.any():
        raise FloatingPointError(
            f"the {extractor.name} features of {int(broken.sum())} of {len(images)} images are NaN or infinite: "
            "the generator that drew them has diverged."
        )
    return features, logits


def frechet(a: Tensor, b: Tensor) -> float:
    """FID: the squared Frechet distance (>= 0) of the Gaussians fitted to features (N, D) and (M, D), N and M >= 2."""
    metric = FrechetInceptionDistance(feature=_identity(a.shape[1]))
    metric.update(b, real=True)
    metric.update(a, real=False)
    return max(
        metric.compute().item(), 0.0
    )  # rounding takes the distance of a set to itself just below 0


def kernel(a: Tensor, b: Tensor, seed: int) -> float:
    """KID: the unbiased squared MMD of features (N, D) and (M, D), the mean over 100 subsets of min(100, N, M)."""
    with quiet():
        metric = KernelInceptionDistance(
            feature=_identity(a.shape[1]), subsets=100, subset_size=min(100, len(a), len(b))
        )
    metric.update(b, real=True)
    metric.update(a, real=False)
    with seeded(seed, "kid"):
        return metric.compute()[0].item()


def inception_score(logits: Tensor, seed: int) -> float:
    """Inception Score, 1 to K, of logits (N, K): the mean over splits of at least 5000 shuffled images, at most 10.

    So one split below 10 000 images: the paper's ten splits of 5000 would shrink, and the score with them.
    """
    # a class of probability 0 in every image is 0 * log(0 / 0) in torchmetrics; e^-600 is still above 0 in float64
    logits = logits.clamp_min(logits.amax(1, keepdim=True) - 600)
    with quiet():
        metric = InceptionScore(
            feature=_identity(logits.shape[1]), splits=min(max(len(logits) // 5000, 1), 10)
        )
    metric.update(logits)
    with seeded(seed, "is"), warnings.catch_warnings():
        # the deviation over splits, which we do not use, is undefined for one split
        warnings.filterwarnings("ignore", message=r"std\(\): degrees of freedom")
        return metric.compute()[0].item()


def collapse(features: Tensor, logits: Tensor, duplicate_distance: float) -> dict[str, float]:
    """Signs that a generator draws the same few images, from features (N, D) and logits (N, K) of what it drew.

    - ``duplicate_ratio``: share of images whose nearest other one is at most ``duplicate_distance`` away. A
      :class:`Reference`'s is the first percentile of that distance among n real images: real images score about 0.01.
    - ``classes_covered``: share of the K classes predicted for at least N / (10 K) of the images, and for one.
    - ``class_entropy``: entropy of the mean predicted distribution over log K; 1 is uniform, 0 is one class.
    """
    n, k = logits.shape
    counts = logits.argmax(1).bincount(minlength=k)  # (K,)
    mean = logits.softmax(1).mean(0)  # (K,)
    return {
        "duplicate_ratio": (nearest(features) <= duplicate_distance).double().mean().item(),
        "classes_covered": (counts >= max(n / (10 * k), 1)).double().mean().item(),
        "class_entropy": torch.special.entr(mean).sum().item() / math.log(k),
    }


def nearest(rows: Tensor, others: Tensor | None = None) -> Tensor:
    """Euclidean distance (N,) from each of ``rows`` (N, D) to its nearest of ``others`` (M, D), or other row."""
    among = rows if others is None else others
    centre = among.mean(0)  # a common offset would cost digits in the difference of squares
    among = among - centre
    squares = among.square().sum(1)  # (M,)
    distances = []
    for start in range(0, len(rows), 1024):  # bounds the memory of the distance matrix
        part = rows[start : start + 1024] - centre
        square = part.square().sum(1, keepdim=True) + squares - 2 * part @ among.T  # (B, M)
        if others is None:
            square.diagonal(start).fill_(math.inf)
        distances.append(square.amin(1).clamp_min(0).sqrt())
    return torch.cat(distances)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """For building a metric: torchmetrics warns that it keeps all features, which we hold in memory anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*will save all extracted features", category=UserWarning
        )
        yield


@contextlib.contextmanager
def seeded(*names: int | str) -> Iterator[None]:
    """For computing a metric: torchmetrics draws from the global CPU generator, which is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            seed_of(*names)
        )  # torch.manual_seed would also seed the GPUs
        yield


def _identity(n_features: int) -> nn.Module:
    """The feature network of a torchmetrics metric that is fed with features."""
    identity = nn.Identity()
    identity.num_features = n_features
    return identity
