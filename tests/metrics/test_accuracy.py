"""Accuracy against scores counted by hand, and what makes scoring fail."""

import pytest
import torch
from torch import nn

from benchmarks.metrics.accuracy import accuracies, predict_all, score
from mosaic.fl.data.transforms import normalise


def oracle(images):
    """Logits whose class is the first pixel's uint8 value, from normalised images."""
    return nn.functional.one_hot(((images[:, 0, 0, 0] + 1) * 127.5).round().long(), 4).float()


def images_of(classes):
    images = torch.zeros(len(classes), 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(classes)
    return images


def test_normalise_takes_bytes_to_minus_one_to_one():
    assert normalise(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx(
        [-1, -0.6, 1]
    )


def test_hand_counted_score():
    # class 0: 2 of 3 right, class 1: 0 of 1, class 2: no image, class 3: 1 of 1; 3 of 5 in all
    result = score(oracle, images_of([0, 0, 1, 3, 3]), torch.tensor([0, 0, 0, 1, 3]), n_classes=4)
    assert result.accuracy == pytest.approx(3 / 5)
    assert result.class_accuracy[[0, 1, 3]].tolist() == pytest.approx([2 / 3, 0, 1])
    assert result.class_accuracy[2].isnan()
    assert result.n == 5


def test_several_predictors_score_the_mean_of_their_accuracies():
    def constant(images):
        return torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(len(images), 4)

    images, labels = images_of([0, 1, 2, 3]), torch.arange(4)
    result = score([oracle, constant], images, labels, n_classes=4)
    assert result.accuracy == pytest.approx((1 + 1 / 4) / 2)
    assert result.class_accuracy.tolist() == pytest.approx([0.5, 1, 0.5, 0.5])
    assert (
        score((oracle,), images, labels, 4).accuracy
        == score(oracle, images, labels, 4).accuracy
        == 1
    )


def test_the_batch_size_changes_nothing_and_batches_are_even():
    sizes = []

    def watched(images):
        assert images.dtype == torch.float32 and not torch.is_grad_enabled()
        sizes.append(len(images))
        return oracle(images)

    images = images_of([0, 1, 2, 3, 2, 1, 0])
    assert predict_all([watched], images, batch=6)[0].tolist() == [0, 1, 2, 3, 2, 1, 0]
    assert sizes == [4, 3]
    assert predict_all([oracle], images, batch=1)[0].equal(predict_all([oracle], images)[0])


def test_a_module_predicts_as_a_function_does():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    (predicted,) = predict_all([model], images_of([0, 1, 2, 3]))
    assert predicted.dtype == torch.int64 and predicted.shape == (4,)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_an_error(value):
    def diverged(images):
        logits = oracle(images)
        logits[0, 2] = value
        return logits

    with pytest.raises(FloatingPointError, match="logits of 2 of 4 images .* diverged"):
        score(diverged, images_of([0, 1, 2, 3]), torch.arange(4), n_classes=4, batch=2)


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="no images"):
        score(oracle, images_of([]), torch.tensor([], dtype=torch.int64), n_classes=4)


def test_probes_are_scored_by_name_on_the_same_tensors():
    """Oracle: 4 of 4; always class 1: 1 of 4. Both get the same tensor of a batch."""
    seen = []

    def watched(images):
        seen.append(images)
        return oracle(images)

    def constant(images):
        seen.append(images)
        return torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(len(images), 4)

    scores = accuracies({"a": watched, "b": constant}, images_of([0, 1, 2, 3]), torch.arange(4))
    assert scores == {"a": 1.0, "b": 0.25} and seen[0] is seen[1]
    assert accuracies({}, images_of([0]), torch.arange(1)) == {}
