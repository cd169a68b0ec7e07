"""A method's generated images: how many are drawn and scored, of a generator and of a fixed set."""

from functools import partial

import pytest
import torch

from benchmarks.metrics.fidelity import reference
from benchmarks.metrics.generated_images import score_generated
from mosaic.fl.data.federation import Shard
from mosaic.fl.data.transforms import normalise
from mosaic.fl.training.teachers import drawn_from


@pytest.fixture(scope="module")
def references(domain, digits):
    """What digits score over the small classifier, at most 898 of them on each side."""
    images = digits[0]

    def of_size(n):
        return [(domain, reference(domain, images, min(n, len(images) // 2), seed=1))]

    return of_size


@pytest.fixture
def pool(digits):
    """512 different digits, as a method's set of images."""
    return normalise(digits[0][torch.randperm(1797, generator=torch.Generator().manual_seed(2))])[
        :512
    ]


@pytest.mark.parametrize(("asked", "used"), [(512, 512), (180, 180), (898, 512), (2048, 512)])
def test_images_of_a_fixed_set_are_scored_once_each(pool, references, asked, used):
    """Drawn with replacement, 98 % of 2,048 of 512 images would have a duplicate."""
    scored = score_generated(partial(drawn_from, pool), 0, asked, references)
    assert (scored.scores["fidelity_n"], scored.scores["fidelity_n_asked"]) == (used, asked)
    assert scored.scores["duplicate_ratio"] < 0.05
    assert scored.scores["fid_domain_floor"] == references(used)[0][1].fid_floor
    assert len(scored.images.flatten(1).unique(dim=0)) == len(scored.drawn_by) == used


def test_clients_have_scores_of_their_own_where_their_data_are_given(references, digits):
    """Both clients' generators draw the first one's very images."""
    images, labels = digits
    halves = (torch.arange(0, 900), torch.arange(900, 1797))
    counts = [labels[half].bincount(minlength=10) for half in halves]
    clients = [Shard(i, 1.0, images, labels, halves[i], counts[i]) for i in range(2)]

    def synthesise(n, rng):
        drawn = torch.randperm(900, generator=rng)[:n]
        return normalise(images[drawn]), torch.arange(n) % 2

    scores = score_generated(synthesise, 0, 200, references, clients).scores
    copies, others = (float(text) for text in scores["client_nearest_real"].split())
    assert copies == 0 and 0.8 < others < 1.3
    assert all(float(text) < 0.1 for text in scores["client_duplicates"].split())
    assert "client_coverage" in scores
    without = score_generated(synthesise, 0, 200, references).scores
    assert not [column for column in without if column.startswith("client_")]


def test_the_tasks_seed_fixes_what_is_drawn(pool, references):
    first, again, other = (
        score_generated(partial(drawn_from, pool), seed, 100, references) for seed in (0, 0, 1)
    )
    assert first.scores == again.scores and torch.equal(first.images, again.images)
    assert first.scores != other.scores
