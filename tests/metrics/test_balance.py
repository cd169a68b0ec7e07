"""Generated images with the real images' class shares: what is left is how each class looks."""

import pytest
import torch
from torch import nn

from benchmarks.metrics.balance import balanced_scores, with_class_counts
from benchmarks.metrics.fidelity import Extractor, fidelity, reference
from mosaic.fl.data.transforms import normalise


def one_hot(classes, k):
    return 100.0 * nn.functional.one_hot(classes, k).double()


def two_classes(shares, n, seed):
    """One pixel: N(-0.5, 0.1^2) for class 0 and N(0.5, 0.1^2) for class 1, in random order."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.multinomial(torch.tensor(shares), n, replacement=True, generator=rng)
    return (0.1 * torch.randn(n, generator=rng) + classes - 0.5).reshape(n, 1, 1, 1)


PIXEL = Extractor("domain", lambda x: (x.flatten(1), torch.cat([-x, x], 1).flatten(1)))
"""The feature is the pixel, and its sign is the class."""


def test_images_that_differ_from_real_ones_in_their_label_mix_only():
    """Means 0 and -0.4, variances 0.26 and 0.1: 0.16 + (0.510 - 0.316)^2 = 0.198."""
    real = reference(PIXEL, two_classes([0.5, 0.5], 4000, seed=0), n=2000, seed=0)
    scores = fidelity(PIXEL, two_classes([0.9, 0.1], 12_000, seed=1), real, seed=0)
    assert scores["fid_domain"] == pytest.approx(0.198, abs=0.02)
    # the floor has the chance of two halves' label mixes in it, and may be the larger one
    assert scores["fid_domain_balanced"] < 0.001 and scores["fid_domain_floor"] < 0.001
    assert scores["kid_domain"] > 20 * abs(scores["kid_domain_balanced"])
    assert scores["is_domain_balanced"] == pytest.approx(scores["is_domain_real"], abs=0.02)
    assert scores["balanced_classes"] == 1 and scores["balanced_repeats"] == pytest.approx(0)


def test_images_that_differ_in_how_a_class_looks_are_as_far_as_before():
    """Class 1 is at 0.9 and not at 0.5; the shares are the real ones."""
    real = reference(PIXEL, two_classes([0.5, 0.5], 4000, seed=0), n=2000, seed=0)
    images = two_classes([0.5, 0.5], 4000, seed=1)
    images = torch.where(images > 0, images + 0.4, images)
    scores = fidelity(PIXEL, images, real, seed=0)
    assert scores["fid_domain_balanced"] == pytest.approx(scores["fid_domain"], rel=0.1)
    assert scores["fid_domain"] > 0.05


def test_digits_with_other_shares_are_at_the_floor_when_they_are_balanced(domain, digits, real):
    """Real digits, of which nine tenths of the classes 5 to 9 are left out."""
    images, labels = digits
    kept = (labels < 5) | (torch.rand(1797, generator=torch.Generator().manual_seed(4)) < 0.1)
    drawn = normalise(images[kept])
    drawn = drawn[torch.randperm(len(drawn), generator=torch.Generator().manual_seed(5))]
    scores = fidelity(domain, drawn, real, seed=0)
    floor = scores["fid_domain_floor"]
    assert scores["fid_domain"] > 3 * floor, scores
    assert scores["fid_domain_balanced"] < 1.5 * floor, scores
    assert 0 < scores["balanced_repeats"] < 0.5


def test_each_class_is_taken_as_often_as_wanted_and_in_the_order_of_the_draws():
    classes = torch.tensor([0, 1, 0, 2, 0, 1])
    assert with_class_counts(classes, torch.tensor([2, 1, 0])).tolist() == [0, 2, 1]
    # too few of class 1: each of them equally often, to within one; class 3 was never drawn
    assert with_class_counts(classes, torch.tensor([1, 5, 0, 4])).tolist() == [0, 1, 5, 1, 5, 1]


def test_what_is_missing_and_what_is_repeated_is_said():
    features = torch.arange(6.0, dtype=torch.float64)[:, None]
    logits = one_hot(torch.tensor([0, 1, 0, 2, 0, 1]), 4)
    wanted = torch.tensor([1, 5, 0, 4])
    scores = balanced_scores(features, logits, features, wanted, seed=0)
    assert scores["balanced_classes"] == pytest.approx(2 / 3)  # classes 0 and 1, of 0, 1 and 3
    assert scores["balanced_repeats"] == pytest.approx(3 / 6)  # six images, three of them distinct


def test_where_no_two_images_are_wanted_there_is_no_score():
    features = torch.zeros(3, 1, dtype=torch.float64)
    logits = one_hot(torch.tensor([2, 2, 2]), 3)
    scores = balanced_scores(features, logits, features, torch.tensor([2, 1, 0]), seed=0)
    assert scores == {"balanced_classes": 0.0}
