"""Tests of signed ranks, by hand and against scipy."""

from typing import Any, cast

import numpy as np
import pytest
from scipy import stats

from benchmarks.reporting import significance


def test_signed_ranks_by_hand_and_as_in_scipy_also_where_ranks_are_tied():
    # |d| has the ranks 2 2 2 4 5 6 and the sum of signed ranks is 17 of 21. Beside all 6 positive,
    # a single negative one of rank 2 gives as much: (1 + 3) / 2^6, and twice for both sides.
    tied = np.array([0.01, 0.01, -0.01, 0.02, 0.03, 0.04])
    assert significance.signed_rank_test(tied) == pytest.approx(8 / 64)

    draws = np.random.default_rng(0)
    for n in (6, 7, 8, 20):
        for decimals in (1, 12):
            differences = np.round(draws.normal(0.4, 1, n), decimals)
            differences = np.where(differences == 0, 0.1, differences)
            expected = cast(Any, stats.wilcoxon(differences)).pvalue
            assert significance.signed_rank_test(differences) == pytest.approx(expected)
