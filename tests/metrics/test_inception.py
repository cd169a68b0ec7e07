"""The Inception network: where its weights come from, and that its features are torchmetrics'."""

import hashlib
import math
import sys

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from benchmarks.metrics import inception as inception_module
from benchmarks.metrics.fidelity import extract, fidelity, reference
from benchmarks.metrics.inception import check_weights, inception
from mosaic.fl.data.transforms import normalise
from mosaic.fl.errors import InputError


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


def test_weights_are_checked_before_they_are_needed_and_a_plan_downloads_none(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(inception_module, "_download", lambda: pytest.fail("a plan downloads"))
    check_weights("auto")
    check_weights("download", download=False)
    assert not list(tmp_path.iterdir())

    pytest.importorskip("torch_fidelity")
    with pytest.raises(InputError, match="no Inception weights at .*missing.pth"):
        check_weights(tmp_path / "missing.pth", download=False)


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
    scores = fidelity(extractor, torch.rand(6, 1, 8, 8) * 2 - 1, result, seed=0)
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
