"""Mosaic's diagnostics: the experts' balance, and the two ends of a loss curve."""

from math import log

import pytest
import torch

from mosaic.diagnostics import cached_for_last_batch, diagnostics
from mosaic.fl.training.distillation import loss_curve_ends

LOSSES = [{"losses": {"entropy": 1.0}}, {"losses": {"entropy": 3.0}}]


def test_the_ends_of_a_loss_curve_are_means_over_a_tenth_of_its_steps():
    assert loss_curve_ends([5.0]) == (5.0, 5.0)
    assert loss_curve_ends([5.0, 4.0, 1.0]) == (5.0, 1.0)
    assert loss_curve_ends([float(20 - i) for i in range(20)]) == (19.5, 1.5)


def test_an_experts_weight_entropy_by_hand():
    """Class 0 is half of either client, class 1 is one client's: (log 2 + 0) / 2."""
    numbers = diagnostics(LOSSES, torch.tensor([[4, 0], [4, 7]]), [3.0, 2.0])
    assert numbers["expert_weight_entropy"] == pytest.approx(log(2) / 2)
    assert numbers["generator_entropy"] == 2.0
    assert (numbers["distil_loss_start"], numbers["distil_loss_end"]) == (3.0, 2.0)


def test_a_batch_is_computed_once_in_a_row_and_another_one_again():
    calls = []

    def predict(images: torch.Tensor) -> torch.Tensor:
        calls.append(images)
        return 2 * images

    cached = cached_for_last_batch(predict)
    a, b = torch.ones(1), torch.zeros(1)
    assert [cached(images).item() for images in (a, a, b, a)] == [2.0, 2.0, 0.0, 2.0]
    assert len(calls) == 3


def test_shares_of_counts_that_are_not_whole_sum_to_1():
    """Class 0: 0.1 and 0.3 samples are a quarter and three quarters. Nobody has class 1."""
    numbers = diagnostics(LOSSES, torch.tensor([[0.1, 0.0], [0.3, 0.0]]), [3.0, 2.0])
    entropy = -(log(1 / 4) / 4 + 3 / 4 * log(3 / 4))
    assert numbers["expert_weight_entropy"] == pytest.approx(entropy / 2)
