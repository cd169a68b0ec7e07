"""Generated images scored against real ones: floors, seeds, sample sizes, broken images."""

import math

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from benchmarks.metrics.fidelity import (
    Extractor,
    extract,
    fidelity,
    nearest,
    reference,
)
from benchmarks.metrics.image_scores import frechet
from mosaic.fl.data.transforms import normalise
from mosaic.fl.errors import InputError


def noise(n, seed=0):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_fid_equals_torchmetrics_used_the_ordinary_way(digits, domain):
    class Network(nn.Module):
        num_features = 16

        def forward(self, images):
            return domain.features(images)[0]

    a, b = normalise(digits[0][:200]), noise(150)
    ordinary = FrechetInceptionDistance(feature=Network(), normalize=True).set_dtype(torch.float64)
    for part in a.split(64):
        ordinary.update(part, real=True)
    for part in b.split(64):
        ordinary.update(part, real=False)
    assert frechet(extract(domain, b)[0], extract(domain, a)[0]) == pytest.approx(
        ordinary.compute().item(), rel=1e-9
    )


def test_noise_scores_worse_than_real_images(domain, digits, real):
    scores = fidelity(domain, noise(300), real, seed=1)
    assert set(scores) == {
        "fid_domain",
        "fid_domain_floor",
        "is_domain",
        "is_domain_real",
        "kid_domain",
        "kid_domain_floor",
        "fidelity_n",
        "duplicate_ratio",
        "classes_covered",
        "class_entropy",
        "fid_domain_balanced",
        "is_domain_balanced",
        "kid_domain_balanced",
        "balanced_classes",
        "balanced_repeats",
    }
    assert scores["fidelity_n"] == 300
    assert scores["fid_domain"] > 10 * scores["fid_domain_floor"] > 0
    assert scores["kid_domain"] > 10 * abs(scores["kid_domain_floor"])
    assert 1 <= scores["is_domain"] < scores["is_domain_real"] <= 10
    assert real.warning == ""


def test_unseen_real_images_score_about_the_floor(domain, digits, real):
    drawn = torch.randperm(1797, generator=torch.Generator().manual_seed(5))[:300]
    scores = fidelity(domain, digits[0][drawn], real, seed=1)
    assert scores["fid_domain"] < 2 * scores["fid_domain_floor"]
    assert scores["is_domain"] == pytest.approx(scores["is_domain_real"], rel=0.1)
    assert scores["classes_covered"] == 1 and scores["class_entropy"] > 0.9
    assert scores["duplicate_ratio"] < 0.05


def test_a_generator_of_one_image_is_caught(domain, digits, real):
    one = normalise(digits[0][:1]).repeat(300, 1, 1, 1)
    scores = fidelity(domain, one, real, seed=1)
    assert scores["duplicate_ratio"] == 1
    assert scores["classes_covered"] == pytest.approx(0.1)
    assert scores["is_domain"] == pytest.approx(1)
    assert all(math.isfinite(value) for value in scores.values())


def test_one_real_image_in_a_hundred_counts_as_a_duplicate(domain, digits, real):
    half_b = nearest(real.features)
    assert 0 < (half_b <= real.duplicate_distance).double().mean() < 0.03
    # each real image twice or more: copies still count, also where rounding puts them 1e-7 apart
    twice = reference(domain, digits[0][:4].repeat(10, 1, 1, 1), n=20, seed=0)
    assert 0 < twice.duplicate_distance < 1e-3


def test_the_seed_fixes_every_number_and_the_global_generator_is_left_alone(domain, digits):
    def scores(seed):
        return fidelity(domain, noise(150), reference(domain, digits[0], 150, seed), seed)

    before = torch.get_rng_state()
    first = scores(3)
    assert torch.get_rng_state().equal(before)
    torch.rand(5)
    assert scores(3) == first
    assert scores(4)["kid_domain_floor"] != first["kid_domain_floor"]


def test_the_halves_are_disjoint_and_float_equals_uint8(domain):
    images = torch.arange(40, dtype=torch.uint8).mul(6).reshape(40, 1, 1, 1).expand(-1, 1, 8, 8)
    seen = []

    def watched(x):
        seen.append(x)
        return domain.features(x)

    result = reference(Extractor("domain", watched), images, n=20, seed=0)
    assert len(torch.cat(seen).flatten(1).unique(dim=0)) == 40
    assert result.features.shape == (20, 16)
    assert reference(domain, normalise(images), n=20, seed=0).fid_floor == result.fid_floor


def test_with_few_images_a_warning_says_that_the_fid_is_biased(domain, digits):
    assert reference(domain, digits[0], n=17, seed=0).warning == ""
    assert (
        "n = 16 images and 16 features: below n = 17"
        in reference(domain, digits[0], n=16, seed=0).warning
    )


@pytest.mark.parametrize("n", [1, 899])
def test_a_sample_size_without_two_halves_is_an_error(domain, digits, n):
    with pytest.raises(InputError, match=f"n = {n} .*There are 1797; n can be 2 to 898"):
        reference(domain, digits[0], n, seed=0)


def test_too_few_or_broken_images_are_errors(domain, real):
    with pytest.raises(ValueError, match="299 generated images, but the reference has n = 300"):
        fidelity(domain, noise(299), real, seed=0)
    images = noise(300)
    images[7] = float("nan")
    with pytest.raises(FloatingPointError, match="domain features of 1 of 300 images"):
        fidelity(domain, images, real, seed=0)
