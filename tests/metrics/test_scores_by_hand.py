"""FID, KID, Inception Score and signs of collapse, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from benchmarks.metrics.fidelity import collapse, nearest
from benchmarks.metrics.image_scores import frechet, inception_score, kernel


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(n, mean, cov, seed=0):
    """A sample (n, d) whose mean and covariance (ddof 1) are exactly the given ones."""
    x = normal(n, len(mean), seed).numpy()
    x = x - x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return torch.from_numpy(x @ np.linalg.cholesky(np.array(cov)).T + mean)


def one_hot_logits(classes, k, scale=100.0):
    return scale * nn.functional.one_hot(torch.tensor(classes), k).double()


def test_fid_of_gaussians_by_hand():
    # |(3, 4)|^2 + (1 + 9 - 2 sqrt(1 * 9)) + (4 + 4 - 2 sqrt(4 * 4)) = 25 + 4 + 0
    a = with_moments(50, [0, 0], [[1, 0], [0, 4]])
    b = with_moments(70, [3, 4], [[9, 0], [0, 4]], seed=1)
    assert frechet(a, b) == pytest.approx(29, rel=1e-10)
    assert frechet(b, a) == pytest.approx(29, rel=1e-10)


def test_fid_of_correlated_gaussians_against_scipy():
    mean, cov = [0.5, -1, 2], [[2, 0.5, 0.1], [0.5, 1, -0.3], [0.1, -0.3, 0.7]]
    other_mean, other_cov = [0, 1, 1], [[1, -0.4, 0], [-0.4, 3, 0.2], [0, 0.2, 0.5]]
    root = scipy.linalg.sqrtm(np.array(cov) @ np.array(other_cov)).real
    expected = (
        np.sum((np.array(mean) - other_mean) ** 2)
        + np.trace(cov)
        + np.trace(other_cov)
        - 2 * np.trace(root)
    )
    got = frechet(with_moments(40, mean, cov), with_moments(40, other_mean, other_cov, seed=1))
    assert got == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [200, 20])
def test_fid_of_a_set_and_itself_is_zero_also_below_the_dimension(n):
    x = normal(n, 64)
    assert 0 <= frechet(x, x) < 1e-4


@pytest.mark.parametrize("n", [2, 5, 30])
def test_fid_of_singular_covariances_is_a_real_number(n):
    value = frechet(normal(n, 32), normal(n, 32, seed=1))
    assert math.isfinite(value) and value > 0
    assert math.isfinite(frechet(torch.ones(n, 32, dtype=torch.float64), normal(n, 32)))


@pytest.mark.parametrize("k", [2, 10])
def test_inception_score_by_hand(k):
    assert inception_score(one_hot_logits(list(range(k)) * 30, k), seed=0) == pytest.approx(k)
    assert inception_score(torch.zeros(30, k, dtype=torch.float64), seed=0) == pytest.approx(1)


def test_inception_score_of_one_sure_class_is_one_not_nan():
    # softmax underflows to 0 for the other classes in every image
    assert inception_score(one_hot_logits([3] * 20, 5, scale=1e5), seed=0) == pytest.approx(1)


def test_inception_score_splits_are_shuffled():
    # 10 000 images, two splits; sorted by class each split of an unshuffled score would see one
    # class, and score 1
    score = inception_score(one_hot_logits([0] * 5000 + [1] * 5000, 2), seed=0)
    assert score == pytest.approx(2, abs=1e-2)


def test_kid_by_hand():
    # k(x, y) = (x y + 1)^3, one feature: k(0, 0) = 1, k(1, 1) = 8, k(0, 1) = 1,
    # and 1 + 8 - 2 * 1 = 7
    zeros, ones = torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    assert kernel(zeros, ones, seed=0) == pytest.approx(7)


def test_kid_of_one_law_is_zero_in_expectation():
    same = [kernel(normal(200, 8, seed=i), normal(200, 8, seed=i + 100), seed=i) for i in range(10)]
    assert abs(np.mean(same)) < 3 * np.std(same, ddof=1) / math.sqrt(10)
    assert min(same) < 0 < max(same)  # unbiased
    assert kernel(normal(200, 8), normal(200, 8, seed=1) + 1, seed=0) > 10 * max(same)


def test_nearest_against_the_full_distance_matrix():
    rows = normal(1500, 3) + 100  # more than one block of rows
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(math.inf)
    assert torch.allclose(nearest(rows), distances.amin(1), rtol=1e-7, atol=1e-7)


def test_collapse_by_hand():
    # nearest others at 0.1, 0.1, 4.9, 5: two of four within 0.5
    features = torch.tensor([[0.0], [0.1], [5.0], [10.0]], dtype=torch.float64)
    signs = collapse(features, one_hot_logits([0, 0, 1, 1], 4), duplicate_distance=0.5)
    assert signs["duplicate_ratio"] == 0.5
    assert signs["classes_covered"] == 0.5
    assert signs["class_entropy"] == pytest.approx(math.log(2) / math.log(4))
    uniform = collapse(features, one_hot_logits([0, 1, 2, 3], 4), duplicate_distance=0.0)
    assert uniform["class_entropy"] == pytest.approx(1) and uniform["classes_covered"] == 1


def test_a_class_is_covered_from_a_tenth_of_its_share():
    # 100 images, 2 classes: covered from 100 / 20 = 5 images
    for n_rare, covered in ((4, 0.5), (5, 1.0)):
        logits = one_hot_logits([0] * (100 - n_rare) + [1] * n_rare, 2)
        assert collapse(normal(100, 2), logits, 0.0)["classes_covered"] == covered
