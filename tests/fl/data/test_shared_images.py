"""Images sent to all clients: bytes, what a client adds of them, and that training is no longer."""

from dataclasses import replace

import pytest
import torch
from helpers import rng, same

from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.shared_images import (
    SharedImages,
    class_balanced,
    complement,
    everything,
    half,
    lacking,
    mixed_shards,
)
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rounds import client_updates
from mosaic.fl.training.sgd import train

CLASSES = torch.arange(10).repeat(3)  # three images of each class


def shared_images(labels=CLASSES) -> SharedImages:
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return SharedImages(images.contiguous(), labels)


def test_a_class_is_lacking_by_its_share_of_the_largest():
    counts = torch.tensor([0, 2, 10, 10])
    assert lacking(counts, 0.0).tolist() == [True, False, False, False]
    assert lacking(counts, 0.2).tolist() == [True, True, False, False]
    assert lacking(counts, 1.0).tolist() == [True, True, False, False]
    assert not lacking(torch.tensor([3, 3]), 1.0).any()


def test_the_complement_fills_lacking_classes_up_to_the_largest_and_takes_images_evenly():
    counts = torch.tensor([4, 0, 1] + [4] * 7)
    added = complement(counts, CLASSES, rng())
    assert CLASSES[added].tolist() == [1, 1, 1, 1]
    assert sorted(added.bincount().tolist())[-3:] == [1, 1, 2]  # three images, four times
    added = complement(counts, CLASSES, rng(), rare=0.5)
    assert CLASSES[added].bincount(minlength=10).tolist() == [0, 4, 3] + [0] * 7


def test_a_class_of_which_no_image_is_shared_stays_lacking():
    added = complement(torch.tensor([2, 0, 0]), torch.tensor([1]), rng())
    assert added.tolist() == [0, 0]


def test_half_is_as_many_as_the_clients_own_and_everything_is_the_set():
    counts = torch.tensor([0, 31] + [0] * 8)
    added = half(counts, CLASSES, rng())
    assert len(added) == 31 and set(added.bincount().tolist()) == {1, 2}
    assert everything(counts, CLASSES, rng()).tolist() == list(range(30))


@pytest.mark.parametrize("rule", [complement, half])
def test_a_client_that_lacks_no_class_adds_nothing(rule):
    assert len(rule(torch.arange(1, 11), CLASSES, rng())) == 0


def test_a_balanced_part_has_equally_many_of_each_class():
    classes = torch.tensor([2, 0, 1, 0, 2, 2, 1])
    assert class_balanced(classes, 2, 3).tolist() == [0, 1, 2, 3, 4, 6]
    assert classes[class_balanced(classes, 1, 4)].bincount().tolist() == [1, 1, 1]


def test_each_client_downloads_the_whole_set_once_images_as_bytes(task):
    shards = open_federation(task).shards
    with opened(Account()) as account:
        mixed_shards(task, shards, shared_images(), complement)
    per_client = 30 * 8 * 8 + 30 * 8  # a byte per pixel, eight per label
    assert account.total().download == {"images": len(shards) * per_client}
    assert not account.total().upload


def test_shards_without_a_shared_image_train_to_the_same_bits(task, store):
    def nothing(label_counts, classes, rng):
        return torch.empty(0, dtype=torch.long)

    server = initial_model(task.spec, task.seed)
    shards = mixed_shards(task, open_federation(task).shards, shared_images(), nothing)
    one_round = replace(task, rounds=1)
    for of_task in (task, one_round):
        plain = list(client_updates(of_task, server, 1))
        assert same(plain, list(client_updates(of_task, server, 1, samples=shards)))


def test_a_client_trains_on_its_own_and_the_added_images_for_as_long_as_before(task):
    task = replace(task, epochs=2)
    shards = open_federation(task).shards
    mixed = mixed_shards(task, shards, shared_images(), everything)
    pool = mixed[0]
    assert pool.size == shards[0].size + 30
    assert torch.equal(pool.label_counts, shards[0].label_counts + 3)
    assert torch.equal(pool.labels[pool.indices].bincount(minlength=10).cpu(), pool.label_counts)
    assert torch.equal(pool.images[pool.indices[-30:]], shared_images().images)

    server = initial_model(task.spec, task.seed)
    steps = []
    for samples in (None, mixed):
        with opened(Account()) as account:
            list(client_updates(task, server, 1, samples=samples))
        steps.append(account.total().steps)
    assert steps[0] == steps[1]


def test_labels_may_be_probabilities(task):
    """Those of one class each train as the classes do."""
    shards = open_federation(task).shards
    hard = mixed_shards(task, shards, shared_images(), everything)[0]
    one_hot = torch.nn.functional.one_hot(CLASSES, 10).float()
    soft = mixed_shards(task, shards, shared_images(one_hot), everything)[0]
    server = initial_model(task.spec, task.seed)
    first, second = (train(server, samples, task, round=1) for samples in (hard, soft))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name])


def test_the_same_names_give_the_same_choice(task):
    shards = open_federation(replace(task, omega=0.05)).shards
    choices = []
    for names in ((1,), (1,), (2,)):
        mixed = mixed_shards(task, shards, shared_images(), complement, *names)
        choices.append([shard.indices for shard in mixed])
    assert same(choices[0], choices[1]) and not same(choices[0], choices[2])
