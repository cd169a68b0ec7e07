"""Data sets that a function of the user's loads, and user data in a federation."""

import numpy as np
import pytest
import torch

from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import fingerprint, load, sealed_test_set
from mosaic.fl.data.source import Images
from mosaic.fl.data.user_data import register_data, register_dataset
from mosaic.fl.errors import InputError
from mosaic.fl.models.registry import MODELS, new_network
from mosaic.fl.synthesis.upsampling import UpsamplingGenerator
from mosaic.fl.task import Task

pytestmark = pytest.mark.usefixtures("registry")


def blobs(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8x8 pixels of four classes: 120 for training, 40 for the test."""
    n = {"train": 120, "test": 40}[split]
    labels = np.arange(n) % 4
    images = np.random.default_rng(n).integers(0, 60, (n, 1, 8, 8), dtype=np.uint8)
    return images + (60 * labels[:, None, None, None]).astype(np.uint8), labels


def test_a_registered_function_is_called_when_its_split_is_used():
    calls = []

    def loading(split):
        calls.append(split)
        return blobs(split)

    register_dataset("blobs", loading, channels=1, size=8, n_classes=4)
    assert not calls
    train = load("blobs", "train")
    assert load("blobs", "train") is train and calls == ["train"]
    assert torch.equal(train.images, torch.from_numpy(blobs("train")[0]))
    assert train.labels.dtype == torch.int64 and train.n_classes == 4
    with sealed_test_set(), pytest.raises(RuntimeError, match="sealed"):
        load("blobs", "test")


def test_a_fingerprint_has_what_the_function_says_beside_its_images():
    plain = {"channels": 1, "size": 8, "n_classes": 4}
    for number, more in enumerate(({}, {}, {"augment": True}, {"n_classes": 5})):
        register_dataset(f"blobs{number}", blobs, **(plain | more))
    prints = [fingerprint(load(f"blobs{number}", "train")) for number in range(4)]
    assert prints[0] == prints[1] and len(set(prints)) == 3
    images, labels = (torch.from_numpy(array) for array in blobs("train"))
    assert prints[0] == fingerprint(Images("", images, labels, n_classes=4))  # as in a file


def test_clients_share_a_registered_data_set():
    register_dataset("blobs", blobs, channels=1, size=8, n_classes=4, augment=True)
    task = Task(dataset="blobs", n_clients=3, omega=1.0)
    assert sum(open_federation(task).sizes) == 108  # 120 but for the 12 held out
    assert task.source.augment and task.spec.n_classes == 4


def test_views_and_read_only_arrays_are_copied():
    def loading(split):
        images, labels = blobs(split)
        images.setflags(write=False)
        return images[::-1], labels[::-1].astype(np.uint8)

    register_dataset("blobs", loading, channels=1, size=8, n_classes=4)
    assert torch.equal(
        load("blobs", "train").images[0, 0], torch.from_numpy(blobs("train")[0][-1, 0])
    )


@pytest.mark.parametrize("name", ("digits", "noise", "held_out"))
def test_a_name_that_is_taken(name):
    with pytest.raises(InputError, match=f"the name '{name}' is taken"):
        register_dataset(name, blobs, channels=1, size=8, n_classes=4)


@pytest.mark.parametrize("name", ("", "my data", "../data", "1st", "a.b"))
def test_a_name_that_cannot_be_one(name):
    with pytest.raises(InputError, match="cannot be the name of a data set"):
        register_dataset(name, blobs, channels=1, size=8, n_classes=4)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"channels": 4}, "channels is 4; possible: 1 .grey. or 3 .RGB."),
        ({"size": 4}, "size is 4. Heights and widths must be equal, at least 8"),
        ({"size": 30}, "size is 30"),
        ({"n_classes": 1}, "n_classes is 1; at least 2"),
    ],
)
def test_an_argument_out_of_its_range(change, text):
    with pytest.raises(InputError, match=f"blobs: {text}"):
        register_dataset("blobs", blobs, **{"channels": 1, "size": 8, "n_classes": 4} | change)
    assert "blobs" not in DATASETS


IMAGES, LABELS = blobs("train")


@pytest.mark.parametrize(
    ("loaded", "text"),
    [
        (IMAGES, r"must return a pair \(images, labels\)"),
        ((IMAGES[:, 0], LABELS), r"its images are uint8 \(8, 8\), not uint8 \(1, 8, 8\)"),
        ((IMAGES / 255, LABELS), "its images are float64"),
        ((IMAGES, LABELS / 1), "its labels are float64. Return integers"),
        ((IMAGES, LABELS[1:]), "it has 120 images and 119 labels"),
        ((IMAGES, LABELS + 1), r"its labels are 1\.\.4, not within 0\.\.3"),
        ((IMAGES[:0], LABELS[:0]), "it has 0 images"),
    ],
)
def test_what_a_function_returns_is_checked(loaded, text):
    register_dataset("blobs", lambda split: loaded, channels=1, size=8, n_classes=4)
    with pytest.raises(InputError, match=f"data set 'blobs', split 'train'.*{text}"):
        load("blobs", "train")


@pytest.mark.parametrize("size", (8, 12, 20, 28, 64))
def test_networks_work_at_every_size_that_is_let_in(size, tmp_path):
    images = np.zeros((4, size, size), np.uint8)
    labels = np.arange(4) % 2
    np.savez(
        tmp_path / "some.npz",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    name = register_data(tmp_path / "some.npz")
    for model in MODELS:
        spec = Task(dataset=name, model=model, base_width=4).spec
        assert new_network(spec)(torch.zeros(2, 1, size, size)).shape == (2, 2)
    generator = UpsamplingGenerator(4, 1, size)
    assert generator(torch.zeros(2, 4)).shape == (2, 1, size, size)
