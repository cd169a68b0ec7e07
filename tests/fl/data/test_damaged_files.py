"""What is said of files that are damaged, incomplete or dangerous."""

import os
import pickle

import numpy as np
import pytest
from data_files import (
    WRITERS,
    pixels,
    write_cifar100,
    write_idx,
    write_mnist,
    write_tiny_imagenet,
)

from mosaic.fl.data.loading import load, use_data_dir
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.mark.parametrize("split", ("train", "test"))
@pytest.mark.parametrize("harm", ("halved", "emptied", "garbled"))
@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_named(name, harm, split, tmp_path):
    file = WRITERS[name](tmp_path)[split]
    content = file.read_bytes()
    harmed = {
        "halved": content[: len(content) // 2],
        "emptied": b"",
        "garbled": bytes(len(content)),
    }
    file.write_bytes(harmed[harm])
    use_data_dir(tmp_path)
    with pytest.raises(InputError) as caught:
        load(name, split)
    assert f"cannot use {file}: " in str(caught.value) and "Copy it again" in str(caught.value)


def test_a_missing_companion_is_named(tmp_path):
    for name, file in ("mnist", "train-labels-idx1-ubyte"), ("cifar10", "data_batch_4"):
        folder = WRITERS[name](tmp_path)["train"].parent
        (folder / file).unlink()
        use_data_dir(tmp_path)
        with pytest.raises(InputError, match=f"cannot use {folder / file}: .*No such file"):
            load(name, "train")


def test_labels_must_match_the_images_and_be_within_range(tmp_path):
    labels = write_mnist(tmp_path)["test"]
    use_data_dir(tmp_path)
    write_idx(labels, np.zeros(7, np.uint8))
    with pytest.raises(InputError, match=f"{labels}: it has 8 images and 7 labels"):
        load("mnist", "test")
    write_idx(labels, np.full(8, 10, np.uint8))
    with pytest.raises(InputError, match=r"its labels are 10\.\.10, not within 0\.\.9"):
        load("mnist", "test")
    write_idx(labels.with_name("t10k-images-idx3-ubyte"), pixels(8, 32, 32))
    with pytest.raises(
        InputError, match=r"its images are uint8 \(1, 32, 32\), not uint8 \(1, 28, 28\)"
    ):
        load("mnist", "test")


def test_what_is_missing_of_tiny_imagenet_is_named(tmp_path):
    folder = write_tiny_imagenet(tmp_path)["test"].parent
    use_data_dir(tmp_path)
    annotations = folder / "val" / "val_annotations.txt"
    lines = annotations.read_text().splitlines()
    annotations.write_text("\n".join(lines[:150]))
    with pytest.raises(InputError, match=f"{annotations}: it labels 150 images, but there are 200"):
        load("tiny_imagenet", "test")
    annotations.write_text("\n".join([*lines[:199], "val_199.JPEG\tn089"]))
    with pytest.raises(InputError, match=f"{annotations}: it says .*n089.* classes of wnids.txt"):
        load("tiny_imagenet", "test")
    images = next((folder / "train").iterdir()) / "images"
    next(images.iterdir()).unlink()
    with pytest.raises(InputError, match=f"{images}: it has no .JPEG"):
        load("tiny_imagenet", "train")


def test_a_pickle_that_would_run_a_program_is_refused(tmp_path):
    class Program:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was here"),)

    file = write_cifar100(tmp_path)["train"]
    file.write_bytes(pickle.dumps({"data": Program(), "fine_labels": [0]}))
    use_data_dir(tmp_path)
    with pytest.raises(InputError, match="it calls .*mkdir, which no CIFAR file does"):
        load("cifar100", "train")
    assert not (tmp_path / "was here").exists()
