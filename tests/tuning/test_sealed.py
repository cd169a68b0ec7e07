"""The tuner never opens the test set."""

import numpy as np
import pytest
from oracle import ON_CPU, table, tuned

from benchmarks import tune
from mosaic.fl.data import datasets, download, loading


def test_a_sealed_test_set_cannot_be_loaded():
    with loading.sealed_test_set(), loading.sealed_test_set():
        assert len(loading.load("digits", "train").images)
        with pytest.raises(RuntimeError, match="the test set of digits"):
            loading.load("digits", "test")
    assert len(loading.load("digits", "test").images)


def test_a_method_that_opens_the_test_set_fails(tmp_path):
    assert tuned(tmp_path, "--trials", "2", "--set", "oracle.peeks=true") == 1
    assert table(tmp_path)["reason"].str.contains("sealed").all()


SMALL_TASK = [
    "--set=task.rounds=2",
    "--set=task.steps=2",
    "--set=task.base_width=4",
    "--set=task.score_every=1",
]
MOSAIC = [
    "--method=mosaic",
    "--clients=3",
    "--stability-seeds=0",
    "--study=m",
    *ON_CPU,
    *SMALL_TASK,
    "--set=mosaic.generator_steps=4",
    "--set=mosaic.distil_steps=2",
    "--set=mosaic.ngf=4",
    "--set=mosaic.distil_batch=30",
]


@pytest.fixture
def loaded_splits(monkeypatch) -> list[str]:
    """The splits ("train", "test") that are read from files, one entry per reading."""
    splits = []
    load = loading._load

    def load_and_note(name, split, folder, state):
        splits.append(split)
        return load(name, split, folder, state)

    monkeypatch.setattr(loading, "_load", load_and_note)
    return splits


@pytest.mark.slow
def test_mosaic_is_tuned_for_two_objectives_without_the_test_set_and_with_cached_stages(
    tmp_path, loaded_splits
):
    options = [
        f"--out={tmp_path}",
        "--objective=accuracy,fid_domain",
        "--seeds=1",
        "--sampler=grid",
        "--trials=9",
        "--only=weight_hard,lambda_d",
        "--space=weight_hard=0.0,0.5",
        "--space=lambda_d=2.0,5.0",
    ]
    assert tune.main([*MOSAIC, *options]) == 0
    assert set(loaded_splits) == {"train"}
    rows = table(tmp_path, "m")
    assert rows["fid_domain"].gt(0).all() and len(rows) == 4

    first, *others = rows.to_dict("records")
    assert "client_generator:3" in first["computed"] and "warm_up:" in first["computed"]
    seen = {first["param.lambda_d"]}
    for row in others:
        # lambda_d changes the generators only, and weight_hard no stage at all.
        computed = str(row["computed"])
        assert computed == ("nan" if row["param.lambda_d"] in seen else "client_generator:3")
        assert row["saved_s"] > 0 and "warm_up:" in row["reused"]
        seen.add(row["param.lambda_d"])


def test_a_data_folder_without_test_files_is_enough(tmp_path, monkeypatch):
    """MNIST's training files alone, with 300 images of noise."""
    monkeypatch.setattr(download, "_download", lambda *_: "offline")
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    pixels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8)
    labels = np.arange(300, dtype=np.uint8) % 10
    names = datasets.DATASETS["mnist"].files["train"]
    for name, array in zip(names, (pixels, labels), strict=True):
        sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
        header = bytes([0, 0, 8, array.ndim]) + sizes
        (folder / name).write_bytes(header + array.tobytes())

    options = [
        "--method=dense",
        "--dataset=mnist",
        f"--data-dir={folder}",
        "--trials=2",
        "--seeds=1",
        *SMALL_TASK,
        "--set=dense.epochs=1",
        "--set=dense.distil_steps=1",
        "--set=dense.synthesis_steps=1",
        "--set=dense.batch=16",
        "--set=dense.latent=4",
    ]
    assert tuned(tmp_path, *options) == 0
    assert set(table(tmp_path)["state"]) == {"complete"}
