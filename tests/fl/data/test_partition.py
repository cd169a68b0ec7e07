"""The laws of partitions, and small ones worked out by hand."""

import json
import math
import time
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch

from mosaic.fl.data.partition import Partition, _repair, partition
from mosaic.fl.data.partition_laws import LAWS
from mosaic.fl.errors import InputError

OMEGAS = (1e-4, 0.01, 0.1, 1, 100, math.inf)
POOL = torch.arange(1438) % 10  # as large as the digits' training pool


def counts_of(parts: Partition, labels: torch.Tensor) -> list[list[int]]:
    n_classes = int(labels.max()) + 1
    return [labels[own].bincount(minlength=n_classes).tolist() for own in parts.indices]


def assert_sound(parts: Partition, labels: torch.Tensor, n_clients: int, min_samples: int) -> None:
    assert len(parts.indices) == n_clients
    # Disjoint and complete: each position is there once.
    positions = torch.cat(parts.indices).sort().values
    assert torch.equal(positions, torch.arange(len(labels)))
    assert min(len(own) for own in parts.indices) >= min_samples
    assert all(torch.equal(own, own.sort().values) for own in parts.indices)
    assert parts.label_counts.tolist() == counts_of(parts, labels)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("omega", OMEGAS)
@pytest.mark.parametrize("n_clients", (1, 2, 10, 100))
def test_partitions_are_disjoint_and_complete_with_enough_for_each_client(law, omega, n_clients):
    assert_sound(partition(POOL, n_clients, omega, law, 10, seed=0), POOL, n_clients, 10)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("omega", OMEGAS)
def test_there_can_be_as_many_clients_as_the_pool_allows(law, omega):
    pool = torch.arange(500) % 7
    assert_sound(partition(pool, 50, omega, law, 10, seed=0), pool, 50, 10)
    assert_sound(partition(pool, 500, omega, law, 1, seed=0), pool, 500, 1)


@pytest.mark.parametrize("law", LAWS)
def test_a_pool_can_be_skewed_and_lack_classes(law):
    pool = torch.tensor([1] * 300 + [4] * 20 + [5])
    for seed in range(20):
        parts = partition(pool, 8, 0.01, law, 10, seed)
        assert_sound(parts, pool, 8, 10)
        assert parts.label_counts.sum(0).tolist() == [0, 300, 0, 0, 20, 1]


@pytest.mark.parametrize("law", LAWS)
def test_the_same_seed_gives_the_same_partition_and_another_seed_another(law):
    first, again, other = (
        partition(POOL, 10, 0.1, law, 10, seed).certificate() for seed in (0, 0, 1)
    )
    assert first == again
    assert first["sha256"] != other["sha256"] and first["label_counts"] != other["label_counts"]


@pytest.mark.parametrize("law", LAWS)
def test_omega_inf_gives_each_client_the_same(law):
    # 6000 samples of each of 10 classes among 100 clients: 60 of each per client, not rounded.
    parts = partition(torch.arange(60_000) % 10, 100, math.inf, law, 10, seed=0)
    assert (parts.label_counts == 60).all()
    # 143.8 samples of a class among 100 clients are 1 or 2 per client and class. The draws must
    # not favour the same client in all ten classes.
    sizes = partition(POOL, 100, math.inf, law, 1, seed=0).label_counts.sum(1)
    assert sizes.min() >= 10 and sizes.max() <= 19


@pytest.mark.parametrize("law", LAWS)
def test_a_larger_omega_brings_the_clients_nearer_to_the_pool(law):
    distances = [
        np.mean(
            [
                partition(POOL, 10, w, law, 10, s).certificate()["mean_total_variation"]
                for s in range(10)
            ]
        )
        for w in OMEGAS
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.6 and distances[-1] < 0.05


def test_class_law_follows_the_dirichlet_mean_and_variance():
    # A share of Dir(omega 1_N) is Beta(omega, (N-1) omega): its mean is 1/N, and its variance
    # (N-1) / (N^2 (N omega + 1)).
    n_classes, n_clients, omega = 400, 5, 0.5
    pool = torch.arange(n_classes * 500) % n_classes
    shares = partition(pool, n_clients, omega, "class", 1, seed=0).label_counts / 500
    assert shares.mean().item() == pytest.approx(0.2)
    assert shares.var().item() == pytest.approx(4 / (25 * 3.5), rel=0.1)


def test_class_balanced_gives_nothing_more_to_clients_with_the_mean():
    drawn = [partition(POOL, 10, 0.1, "class_balanced", 1, seed) for seed in range(20)]
    unrepaired = [parts.label_counts for parts in drawn if not parts.moved]
    assert len(unrepaired) > 10
    for counts in unrepaired:
        before = counts.cumsum(1) - counts  # what each client had when the class was cut
        full = before >= len(POOL) / 10
        assert full.any() and not counts[full].any()

    counts = LAWS["class_balanced"](np.full(10, 100), 10, 1e-4, np.random.default_rng(0))
    # A client that takes a whole class, 100 = n/N, is full: each client gets exactly one class.
    assert sorted(counts.argmax(1)) == list(range(10)) and counts.max(1).tolist() == [100] * 10


def test_client_law_gives_equal_sizes_and_moves_nothing():
    for omega in OMEGAS:
        parts = partition(POOL, 100, omega, "client", 14, seed=0)  # 1438 = 38 * 15 + 62 * 14
        assert sorted(parts.label_counts.sum(1).tolist()) == [14] * 62 + [15] * 38
        assert parts.moved == 0


def smallest_by_rejection(seed: int) -> int:
    """The smallest client of a table that is drawn until each client has ten samples."""
    rng = np.random.default_rng(seed)
    while True:
        sizes = LAWS["class_balanced"](np.bincount(SKEWED), 10, 0.01, rng).sum(1)
        if sizes.min() >= 10:
            return sizes.min()


SKEWED = torch.arange(60_000) % 10


def test_the_smallest_client_has_the_size_that_drawing_again_gives():
    """Where a repair takes the place of drawing again, three of four have exactly ten samples."""
    again = partial(partition, SKEWED, 10, 0.01, "class_balanced", 10, max_draws=1000)
    expected = [smallest_by_rejection(seed) for seed in range(100)]
    parts = [again(seed) for seed in range(100)]
    drawn = [int(part.label_counts.sum(1).min()) for part in parts]
    assert scipy.stats.ks_2samp(drawn, expected).pvalue > 0.01
    assert not any(part.moved or part.certificate()["repaired"] for part in parts)
    assert 2 < np.mean([part.draws for part in parts]) < 8  # a quarter of the draws is accepted


def test_a_partition_that_no_draw_gives_is_the_first_one_repaired():
    """Five hundred samples for fifty clients of at least ten: all must have the same size."""
    parts = partition(torch.arange(500) % 7, 50, 0.1, "class", 10, seed=0, max_draws=20)
    assert parts.draws == 20 and parts.moved > 0 and parts.certificate()["repaired"]
    assert parts.label_counts.sum(1).tolist() == [10] * 50


def test_repair_moves_the_fewest_samples_of_classes_the_receiver_has():
    drawn = np.array([[20, 0], [6, 30], [1, 0], [0, 0]])
    # Client 2 lacks 3 and has class 0: client 0 can spare min(20, 20 - 4) = 16 of it, client 1 only
    # 6. Client 3 lacks 4 and has nothing: the largest gift is client 1's min(30, 36 - 4) = 30 of
    # class 1. The fewest samples are 3 + 4 = 7.
    counts, moved = _repair(drawn, 4)
    assert counts.tolist() == [[17, 0], [6, 26], [4, 0], [0, 4]]
    assert moved == 7
    assert drawn.tolist() == [[20, 0], [6, 30], [1, 0], [0, 0]]


def test_repair_changes_nothing_where_all_have_enough():
    counts, moved = _repair(np.array([[4, 0], [0, 9]]), 4)
    assert counts.tolist() == [[4, 0], [0, 9]] and moved == 0


def test_certificate_by_hand():
    # Sizes 1 and 3. Gini = sum_ij |s_i - s_j| / (2 N sum s) = (2 + 2) / (2 * 2 * 4) = 1/4.
    # Pool: half class 0, half class 1. Client 0 is all class 0: distance (1/2 + 1/2) / 2 = 1/2.
    # Client 1 is 1/3 and 2/3: (1/6 + 1/6) / 2 = 1/6. Mean over clients: 1/3.
    # Classes per client: (1 + 2) / 2.
    parts = Partition(
        (torch.tensor([0]), torch.tensor([1, 2, 3])),
        1,
        0,
        torch.tensor([[1, 0], [1, 2]]),
        math.inf,
        "class",
        seed=7,
    )
    certificate = parts.certificate()
    assert certificate["gini"] == 0.25
    assert certificate["mean_total_variation"] == pytest.approx(1 / 3)
    assert certificate["mean_classes_per_client"] == 1.5
    assert certificate["sizes"] == [1, 3] and certificate["label_counts"] == [[1, 0], [1, 2]]
    assert certificate["omega"] == "inf" and certificate["seed"] == 7
    assert json.loads(json.dumps(certificate, allow_nan=False)) == certificate


def test_certificates_differ_where_clients_have_other_samples():
    counts = torch.tensor([[1, 1], [1, 1]])
    a = Partition((torch.tensor([0, 1]), torch.tensor([2, 3])), 1, 0, counts, 1.0, "class", 0)
    b = Partition((torch.tensor([0, 3]), torch.tensor([1, 2])), 1, 0, counts, 1.0, "class", 0)
    assert a.certificate()["sha256"] != b.certificate()["sha256"]


@pytest.mark.parametrize("law", LAWS)
def test_a_hundred_clients_of_sixty_thousand_samples_in_a_second(law):
    pool = torch.arange(60_000) % 10
    start = time.perf_counter()
    partition(pool, 100, 0.01, law, 10, seed=0)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"omega": 0}, "omega must be a number from 0.0001 to inf, not 0"),
        ({"omega": -1.0}, "not -1.0"),
        ({"omega": 1e-5}, "not 1e-05"),
        ({"omega": math.nan}, "not nan"),
        ({"omega": "0.1"}, "not '0.1'"),
        ({"omega": True}, "not True"),
        ({"n_clients": 0}, "n_clients must be a whole number from 1, not 0"),
        ({"n_clients": 2.0}, "not 2.0"),
        ({"min_samples": 0}, "min_samples must be a whole number from 1, not 0"),
        ({"max_draws": 0}, "max_draws must be a whole number from 1, not 0"),
        ({"n_clients": 144}, "give at most 143 clients"),
        ({"law": "class_balance"}, "did you mean 'class_balanced'"),
        ({"labels": torch.zeros(0, dtype=torch.int64)}, "labels must be"),
        ({"labels": torch.zeros(20)}, "labels must be"),
        ({"labels": torch.tensor([0, -1] * 100)}, "labels must be"),
    ],
)
def test_errors_say_what_was_given_and_what_is_possible(change, text):
    right = {
        "labels": POOL,
        "n_clients": 10,
        "omega": 0.1,
        "law": "class",
        "min_samples": 10,
        "seed": 0,
    }
    with pytest.raises(InputError) as caught:
        partition(**right | change)
    assert text in str(caught.value)
