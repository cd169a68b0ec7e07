"""The laws of pixels, of validation splits and of fingerprints."""

import pytest
import torch
from data_files import pixels

from mosaic.fl.data import loading
from mosaic.fl.data.source import Images
from mosaic.fl.data.splits import split_validation
from mosaic.fl.data.transforms import augment, normalise, to_uint8
from mosaic.fl.errors import InputError


def test_normalise_then_to_uint8_is_the_identity():
    every = torch.arange(256, dtype=torch.uint8)
    normal = normalise(every)
    assert normal.dtype == torch.float32 and normal.min() == -1 and normal.max() == 1
    assert torch.equal(to_uint8(normal), every)
    beyond = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert to_uint8(beyond).tolist() == [0, 0, 128, 255, 255]  # 127.5 is rounded to even


def test_augment_is_a_crop_from_a_black_border_and_a_flip():
    """Each pixel is unique, so an image can only be equal to the right crop and flip."""
    n, size = 200, 12
    image = torch.arange(1, 1 + size * size, dtype=torch.uint8).view(1, size, size)
    images = torch.cat([image, 255 - image])[None].repeat(n, 1, 1, 1)
    result = augment(images, torch.Generator().manual_seed(0))
    assert result.shape == images.shape and result.dtype == torch.uint8
    padded = torch.nn.functional.pad(images[:1], (4, 4, 4, 4))[0]
    crops = {}
    for down in range(9):
        for right in range(9):
            crop = padded[:, down : down + size, right : right + size]
            crops[crop.numpy().tobytes()] = (down, right, False)
            crops[crop.flip(2).numpy().tobytes()] = (down, right, True)
    # A KeyError if any image is not such a crop.
    drawn = [crops[image.numpy().tobytes()] for image in result]
    assert {d for d, _, _ in drawn} == {r for _, r, _ in drawn} == set(range(9))
    assert 70 < sum(flipped for _, _, flipped in drawn) < 130


def test_augment_depends_only_on_its_generator():
    images = torch.from_numpy(pixels(5, 3, 32, 32))
    first, again, other = (
        augment(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_split_validation_is_stratified_disjoint_and_complete():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 19 + [3])
    train, validation = split_validation(labels, 0.1, seed=3)
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(100))
    # 10 of 100 are 5, 3, 1.9 and 0.1 of the classes, rounded down to 5, 3, 1, 0.
    # The tenth goes to the class that lost 0.9.
    assert labels[validation].bincount(minlength=4).tolist() == [5, 3, 2, 0]
    again, other = split_validation(labels, 0.1, 3)[1], split_validation(labels, 0.1, 4)[1]
    assert torch.equal(validation, again) and not torch.equal(validation, other)
    assert len(split_validation(labels, 0, 3)[1]) == 0


@pytest.mark.parametrize("fraction", (-0.1, 1, float("nan")))
def test_a_validation_fraction_outside_its_range(fraction):
    with pytest.raises(InputError, match="validation fraction"):
        split_validation(torch.zeros(10, dtype=torch.int64), fraction, 0)


def test_a_fingerprint_depends_on_pixels_labels_and_shape():
    images, labels = torch.zeros(2, 1, 2, 4, dtype=torch.uint8), torch.tensor([0, 1])

    def of(images: torch.Tensor, labels: torch.Tensor) -> str:
        return loading.fingerprint(Images("digits", images, labels, 10))

    prints = {
        of(images, labels),
        of(images + 1, labels),
        of(images, 1 - labels),
        of(images.view(2, 1, 4, 2), labels),
    }
    assert len(prints) == 4 and all(len(text) == 16 for text in prints)
    assert of(images.clone(), labels.clone()) in prints
