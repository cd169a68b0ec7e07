"""The tuner never sees a test image."""

import numpy as np
import pytest
from oracle import table, tuned

from benchmarks import tune
from mosaic.fl.data import datasets, download, loading


def test_sealed_the_test_set_cannot_be_loaded():
    with loading.sealed_test_set(), loading.sealed_test_set():
        assert len(loading.load("digits", "train").images)
        with pytest.raises(RuntimeError, match="the test set of digits"):
            loading.load("digits", "test")
    assert len(loading.load("digits", "test").images)


def test_a_method_that_opens_the_test_set_fails(tmp_path):
    assert tuned(tmp_path, "--trials", "2", "--set", "oracle.peeks=true") == 1
    assert table(tmp_path)["reason"].str.contains("sealed").all()


MOSAIC = [
    "--method",
    "mosaic",
    "--jobs",
    "1",
    "--device",
    "cpu",
    "--precision",
    "fp32",
    "--clients",
    "3",
]
MOSAIC += [
    f"--set=task.{text}" for text in ("rounds=2", "steps=2", "base_width=4", "score_every=1")
]
MOSAIC += [
    f"--set=mosaic.{text}"
    for text in ("generator_steps=4", "distil_steps=2", "ngf=4", "distil_batch=30")
]
MOSAIC += ["--stability-seeds", "0", "--study", "m"]


@pytest.mark.slow
def test_mosaic_is_tuned_for_both_objectives_without_the_test_set_and_cheaply(
    tmp_path, monkeypatch
):
    opened = []
    load = loading._load
    monkeypatch.setattr(
        loading,
        "_load",
        lambda name, split, folder: opened.append(split) or load(name, split, folder),
    )
    data_of = ["--out", str(tmp_path), "--objective", "accuracy,fid_domain", "--seeds", "1"]
    space = ["--space", "weight_hard=0.0,0.5", "--space", "lambda_d=2.0,5.0"]
    grid = ["--sampler", "grid", "--trials", "9", "--only", "weight_hard,lambda_d", *space]
    assert tune.main([*MOSAIC, *data_of, *grid]) == 0
    assert opened and set(opened) == {"train"}
    rows = table(tmp_path, "m")
    assert rows["fid_domain"].gt(0).all() and len(rows) == 4
    seen = set()
    for row in rows.to_dict("records"):
        computed = str(row["computed"])
        if not seen:
            assert "client_generator:3" in computed and "warm_up:" in computed
        else:  # a weight of the distillation makes nothing anew, one of the generators these only
            assert computed == ("nan" if row["param.lambda_d"] in seen else "client_generator:3")
            assert row["saved_s"] > 0 and "warm_up:" in row["reused"]
        seen.add(row["param.lambda_d"])


def test_a_data_folder_without_test_files_is_enough(tmp_path, monkeypatch):
    """MNIST's training files alone, of noise: 300 images."""
    monkeypatch.setattr(download, "_download", lambda *_: "offline")
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    pixels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8)
    labels = np.arange(300, dtype=np.uint8) % 10
    for name, array in zip(
        datasets.DATASETS["mnist"].files["train"], (pixels, labels), strict=True
    ):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(head + array.tobytes())
    more = [
        "--method",
        "dense",
        "--dataset",
        "mnist",
        "--data-dir",
        str(folder),
        "--trials",
        "2",
        "--seeds",
        "1",
    ]
    more += [
        f"--set=dense.{text}" for text in ("epochs=1", "synthesis_steps=1", "batch=16", "latent=4")
    ]
    settings = [text for text in MOSAIC if text.startswith("--set=task.")]
    assert tuned(tmp_path, *more, *settings) == 0
    assert set(table(tmp_path)["state"]) == {"complete"}
