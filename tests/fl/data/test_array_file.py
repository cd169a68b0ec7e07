"""Files .npz of the user's: the forms they may have, and what is said of each mistake."""

import numpy as np
import pytest
import torch

from mosaic.fl.data.array_file import ARRAYS
from mosaic.fl.data.datasets import DATASETS, display_name
from mosaic.fl.data.loading import load
from mosaic.fl.data.user_data import register_data
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Twelve training and six test images of three classes, 8x8, in colour."""
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8),
        "train_labels": np.arange(12) % 3,
        "test_images": rng.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8),
        "test_labels": np.arange(6) % 3,
    }


@pytest.fixture
def file(tmp_path, arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_images_and_labels_are_those_of_the_file(file, arrays):
    name = register_data(file)
    train, test = load(name, "train"), load(name, "test")
    assert torch.equal(train.images, torch.from_numpy(arrays["train_images"]))
    assert train.labels.tolist() == arrays["train_labels"].tolist()
    assert train.n_classes == 3 and train.labels.dtype == torch.int64
    # The test images are in another order, each with its label.
    rows = {image.tobytes(): label for image, label in zip(*_test(arrays), strict=True)}
    for image, label in zip(test.images.numpy(), test.labels.tolist(), strict=True):
        assert rows.pop(image.tobytes()) == label
    assert not rows


def _test(arrays):
    return arrays["test_images"], arrays["test_labels"]


def test_the_name_depends_on_pixels_and_labels_only(file, arrays, tmp_path):
    name = register_data(file)
    assert display_name(name) == f"mine-{name[5:11]}"
    assert register_data(file) == name

    # The same images with the channels last, other integers and a further array.
    other = {key: array.astype(np.int32) for key, array in arrays.items() if "labels" in key}
    for key in "train_images", "test_images":
        other[key] = arrays[key].transpose(0, 2, 3, 1)
    other["val_images"] = np.zeros(3)
    np.savez_compressed(tmp_path / "other.npz", **other)
    assert register_data(tmp_path / "other.npz") == name

    for key in ARRAYS:
        changed = dict(arrays)
        changed[key] = np.roll(arrays[key], 1, axis=0)
        np.savez(tmp_path / "changed.npz", **changed)
        assert register_data(tmp_path / "changed.npz") != name


def test_images_without_channels_and_labels_in_a_column(tmp_path, arrays):
    for key in "train_images", "test_images":
        arrays[key] = arrays[key][:, 0]
    for key in "train_labels", "test_labels":
        arrays[key] = arrays[key][:, None].astype(np.uint8)
    np.savez(tmp_path / "grey.npz", **arrays)
    name = register_data(tmp_path / "grey.npz")
    assert load(name, "train").images.shape == (12, 1, 8, 8)
    assert load(name, "train").labels.tolist() == [0, 1, 2] * 4
    assert DATASETS[name].channels == 1 and DATASETS[name].size == 8


def test_other_orders_of_bytes_and_names_of_arrays(file, arrays, tmp_path):
    """Fortran's order, big-endian labels, and the names that Keras gives its arrays."""
    other = {}
    for split in "train", "test":
        other[f"x_{split}"] = np.asfortranarray(arrays[f"{split}_images"])
        other[f"y_{split}"] = arrays[f"{split}_labels"].astype(">i4")
    np.savez(tmp_path / "keras.NPZ.npz", **other)
    (tmp_path / "keras.NPZ.npz").rename(tmp_path / "KERAS.NPZ")
    assert register_data(tmp_path / "KERAS.NPZ") == register_data(file)
    assert display_name(register_data(file)).startswith("KERAS-")


def test_a_label_can_be_part_of_the_name_of_a_file(tmp_path, arrays):
    np.savez(tmp_path / "my x-rays (2).npz", **arrays)
    name = register_data(tmp_path / "my x-rays (2).npz")
    assert display_name(name) == f"my-x-rays-2-{name[5:11]}"


def test_a_name_without_label_is_displayed_as_it_is():
    assert display_name("digits") == "digits"
    assert display_name("user-unknown-here") == "user-unknown-here"


# Mistakes


def ragged() -> np.ndarray:
    array = np.empty(12, dtype=object)
    for i in range(12):
        array[i] = np.zeros((8 + i % 2, 8), np.uint8)
    return array


FROM_1 = np.arange(12) % 3 + 1
NAN = np.full((12, 8, 8), np.nan)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train_images": ragged()}, "one array of numbers, not a list of arrays"),
        ({"train_images": NAN}, "train_images is float64 with NaN, not uint8"),
        ({"train_images": np.zeros((12, 8, 8))}, "train_images is float64, not uint8"),
        ({"test_images": np.zeros((6, 8, 8), np.int64)}, "test_images is int64, not uint8"),
        ({"test_images": np.zeros((6, 64), np.uint8)}, "has the shape (6, 64). It must be"),
        ({"test_images": np.zeros((0, 8, 8), np.uint8)}, "with at least one image"),
        ({"test_images": np.zeros((6, 8, 8, 4), np.uint8)}, "C = 1 or 3"),
        ({"train_images": np.zeros((12, 8, 12), np.uint8)}, "are of 8 x 12 pixels"),
        ({"train_images": np.zeros((12, 4, 4), np.uint8)}, "at least 8 and a multiple of 4"),
        ({"train_images": np.zeros((12, 30, 30), np.uint8)}, "crop or resize them"),
        ({"train_images": np.zeros((12, 8, 8), np.uint8)}, "Convert them to the same shape"),
        ({"train_labels": np.arange(11) % 3}, "12 images, but train_labels has 11 labels"),
        ({"test_labels": np.arange(7) % 3}, "6 images, but test_labels has 7 labels"),
        ({"train_labels": np.arange(12) % 3.0}, "train_labels is float64, not of integers"),
        ({"test_labels": np.array(["a"] * 6)}, "test_labels is <U1, not of integers"),
        ({"test_labels": np.zeros((6, 2), int)}, "has the shape (6, 2). Give one label"),
        ({"test_labels": np.arange(6) - 1}, "has the label -1. Number the classes 0..K-1"),
        ({"train_labels": np.arange(12) % 3 - 1}, "has the label -1"),
        ({"train_labels": np.arange(12) % 3 + 1}, "up to 3, but no training image of class 0"),
        (
            {"train_labels": np.arange(12) % 3 + 1, "test_labels": np.arange(6) % 3 + 1},
            "subtract 1",
        ),
        ({"train_labels": np.eye(3, dtype=int)[np.arange(12) % 3]}, "labels.argmax(axis=1)"),
        ({"train_labels": np.eye(3)[np.arange(12) % 3]}, "labels.argmax(axis=1)"),
        ({"train_labels": np.arange(12) % 2 == 1}, "train_labels is bool, not of integers"),
        ({"train_labels": np.array([0] * 12, dtype=object)}, "cannot read train_labels"),
        ({"train_labels": np.arange(12) % 3 * 2}, "up to 4, but no training image of class 1"),
        ({"test_labels": np.arange(6)}, "up to 5, but no training image of class 3"),
        ({"train_labels": np.arange(12) % 2}, "up to 2, but no training image of class 2"),
        ({"train_labels": np.full(12, 10**12)}, "no training image of class 0"),
        (
            {"train_labels": np.zeros(12, int), "test_labels": np.zeros(6, int)},
            "images of a single class",
        ),
    ],
)
def test_an_array_of_another_form(file, arrays, change, text):
    np.savez(file, **arrays | change)
    with pytest.raises(InputError) as caught:
        register_data(file)
    assert str(file) in str(caught.value) and text in str(caught.value)


def test_a_missing_array_is_named_beside_those_that_are_there(file):
    np.savez(file, my_images=np.zeros(3), labels=np.zeros(3))
    with pytest.raises(InputError, match="It has my_images, labels, but needs the arrays train_"):
        register_data(file)


def test_without_test_images_it_is_said_how_to_split(file, arrays):
    np.savez(file, **{key: array for key, array in arrays.items() if "train" in key})
    with pytest.raises(InputError, match="Set a part of the training images aside"):
        register_data(file)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_array_is_named(file, arrays, name):
    del arrays[name]
    np.savez(file, **arrays)
    with pytest.raises(InputError, match=f"mine.npz has no array '{name}'. .* needs the arrays"):
        register_data(file)


@pytest.mark.parametrize("harm", ("emptied", "garbled", "truncated", "flipped"))
def test_a_damaged_file_is_named(file, harm):
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[300] ^= 255  # a pixel, which the checksum of the archive covers
    harmed = {
        "emptied": b"",
        "garbled": bytes(500),
        "truncated": content[: len(content) // 2],
        "flipped": bytes(flipped),
    }
    file.write_bytes(harmed[harm])
    with pytest.raises(InputError, match=r"cannot read .*copy it again"):
        register_data(file)


def test_a_single_array_that_is_called_npz(file):
    with open(file, "wb") as opened:
        np.save(opened, np.zeros(3))
    with pytest.raises(InputError, match="mine.npz has a single array. Write it with numpy.savez"):
        register_data(file)


def test_a_text_file_is_refused_without_advice_about_pickles(file):
    file.write_text("label,pixel\n1,0\n")
    with pytest.raises(InputError, match=r"cannot read .*: it is no \.npz file") as raised:
        register_data(file)
    assert "pickle" not in str(raised.value)
