import hashlib
import math
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.datasets import load_digits
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from benchmarks.metrics import inception as inception_module
from benchmarks.metrics.fidelity import (
    Extractor,
    collapse,
    extract,
    fidelity,
    frechet,
    inception_score,
    kernel,
    nearest,
    reference,
)
from benchmarks.metrics.inception import inception
from mosaic.fl.data.transforms import normalise
from mosaic.fl.errors import InputError


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


@pytest.fixture(scope="module")
def digits():
    """uint8 (1797, 1, 8, 8) and labels."""
    data = load_digits()
    return torch.from_numpy(data.images * 255 / 16).round().to(torch.uint8)[
        :, None
    ], torch.from_numpy(data.target)


@pytest.fixture(scope="module")
def domain(digits):
    """A random layer of 16 features, and the least-squares classifier over them."""
    images, labels = digits
    layer = normal(64, 16) / 8

    def features(x):
        return (x.double().flatten(1) @ layer).tanh()

    targets = nn.functional.one_hot(labels, 10).double()
    linear = 10 * torch.linalg.lstsq(features(normalise(images)), targets).solution
    return Extractor("domain", lambda x: (features(x), features(x) @ linear))


@pytest.fixture(scope="module")
def real(digits, domain):
    return reference(domain, digits[0], n=300, seed=1)


def noise(n, seed=0):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


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
    # 10 000 images, two splits; sorted by class each split of an unshuffled score would see one class, and score 1
    score = inception_score(one_hot_logits([0] * 5000 + [1] * 5000, 2), seed=0)
    assert score == pytest.approx(2, abs=1e-2)


def test_kid_by_hand():
    # k(x, y) = (x y + 1)^3, one feature: k(0, 0) = 1, k(1, 1) = 8, k(0, 1) = 1, and 1 + 8 - 2 * 1 = 7
    zeros, ones = torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    assert kernel(zeros, ones, seed=0) == pytest.approx(7)


def test_kid_of_one_law_is_zero_in_expectation():
    same = [kernel(normal(200, 8, seed=i), normal(200, 8, seed=i + 100), seed=i) for i in range(10)]
    assert abs(np.mean(same)) < 3 * np.std(same, ddof=1) / math.sqrt(10)
    assert min(same) < 0 < max(same)  # unbiased
    assert kernel(normal(200, 8), normal(200, 8, seed=1) + 1, seed=0) > 10 * max(same)


def test_noise_scores_worse_than_real_images(domain, digits, real):
    scores = fidelity(domain, noise(300), real, seed=1)
    assert set(scores) == {
        *(
            "fid_domain",
            "fid_domain_floor",
            "is_domain",
            "is_domain_real",
            "kid_domain",
            "kid_domain_floor",
        ),
        *("fidelity_n", "duplicate_ratio", "classes_covered", "class_entropy"),
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


def test_few_images_are_said_to_bias_the_fid(domain, digits):
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


def test_nearest_against_the_full_distance_matrix():
    rows, others = normal(1500, 3) + 100, normal(40, 3, seed=1) + 100  # more than one block of rows
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(
        math.inf
    )
    assert torch.allclose(nearest(rows), distances.amin(1), rtol=1e-7, atol=1e-7)
    between = torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.allclose(nearest(rows, others), between.amin(1), rtol=1e-7, atol=1e-7)


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


def test_inception_is_absent_rather_than_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert inception() is None
    assert not list(tmp_path.iterdir())


def test_inception_without_torch_fidelity_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    assert inception("auto") is None
    with pytest.raises(InputError, match=r"pip install 'mosaic-bench\[inception\]'"):
        inception(tmp_path / "weights.pth")


def test_wrong_inception_weights_are_errors(monkeypatch, tmp_path):
    pytest.importorskip("torch_fidelity")
    with pytest.raises(
        InputError, match="no Inception weights at .*give an existing file, 'auto' or 'download'"
    ):
        inception(tmp_path / "missing.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    torch.save(
        nn.Linear(2, 2), tmp_path / "code.pth"
    )  # a pickled module: loading it could run anything
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("text.pth", "other.pth", "code.pth", "list.pth"):
        with pytest.raises(
            InputError, match=f"{name}' is not torch-fidelity's Inception checkpoint"
        ):
            inception(tmp_path / name)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        inception_module, "INCEPTION_URL", f"file://{tmp_path}/nowhere/weights-01234567.pth"
    )
    with pytest.raises(InputError, match="could not be downloaded"):
        inception("download")
    cached = tmp_path / "hub" / "checkpoints" / "weights-01234567.pth"
    cached.write_bytes(b"half of a download")
    with pytest.raises(InputError, match="damaged, perhaps half downloaded .* delete it"):
        inception("auto")


@pytest.mark.slow
def test_inception_from_a_file_the_cache_and_a_download(monkeypatch, tmp_path, digits):
    base = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3"
    ).FeatureExtractorInceptionV3

    class Untrained(base):
        def load_state_dict(self, state):
            pass  # keeps the random weights

    torch.save({}, tmp_path / "empty.pth")
    path = tmp_path / "random.pth"
    torch.manual_seed(0)
    torch.save(Untrained("untrained", ["2048"], str(tmp_path / "empty.pth")).state_dict(), path)

    extractor = inception(path)
    assert extractor.name == "inception"
    features, logits = extract(extractor, digits[0][:12])
    assert features.shape == (12, 2048) and logits.shape == (12, 1008)
    colour = normalise(digits[0][:12]).repeat(1, 3, 1, 1)
    assert extract(extractor, colour)[0].equal(features)
    # torchmetrics used the ordinary way, on the same bytes
    ordinary = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=str(path))
    bytes_ = digits[0][:12].repeat(1, 3, 1, 1)
    assert ordinary.inception(bytes_).double().equal(features)
    head = FrechetInceptionDistance(feature=64, feature_extractor_weights_path=str(path)).inception
    head.features_list = ["logits_unbiased"]
    assert torch.allclose(head(bytes_).double(), logits, rtol=1e-5, atol=1e-6)

    result = reference(extractor, digits[0][:12], n=6, seed=0)
    assert "below n = 2049" in result.warning
    scores = fidelity(extractor, noise(6), result, seed=0)
    assert "fid_inception" in scores and "duplicate_ratio" not in scores
    assert all(math.isfinite(value) for value in scores.values())

    # the same file over a download into the cache, and from there
    named = tmp_path / f"weights-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(named)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(inception_module, "INCEPTION_URL", named.as_uri())
    assert inception("auto") is None
    for weights in ("download", "auto"):
        assert extract(inception(weights), digits[0][:2])[0].shape == (2, 2048)
