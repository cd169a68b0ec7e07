"""Data sharing: equally many real images of each class, for all clients."""

from dataclasses import replace

import pytest
import torch
from helpers import logits_of, same

from baselines import fedavg
from baselines.data_sharing import Config, real_images, run
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError


def test_the_shared_images_are_the_clients_own_with_equal_classes(task):
    shared = real_images(task, 60)
    assert shared.classes.bincount().tolist() == [6] * 10  # sixty, by ten
    pool = open_federation(task).pool
    own = {bytes(image.flatten().tolist()) for image in pool.images[pool.indices]}
    assert all(bytes(image.flatten().tolist()) in own for image in shared.images)


def test_bytes_are_real_images_up_once_and_down_to_each_client(task):
    with opened(Account()) as account:
        list(run(task, Config(share=0.25)))
    cost = account.total()
    assert cost.upload["data"] == 60 * (8 * 8 + 8)
    assert cost.download["images"] == 3 * 60 * (8 * 8 + 8)
    assert cost.steps["train"] == task.rounds * task.n_clients * task.steps


def test_a_number_of_images_takes_the_place_of_the_share(task, store):
    by_share = [logits_of(s) for s in run(task, Config(share=0.25))]
    by_count = [logits_of(s) for s in run(task, Config(share=0.5, count=60))]
    assert same(by_share, by_count)


def test_a_client_that_lacks_nothing_and_adds_what_it_lacks_trains_as_in_fedavg(task, store):
    task = replace(task, omega=float("inf"))
    plain = [logits_of(s) for s in fedavg.run(task, fedavg.Config())]
    for mix in ("complement", "half"):
        assert same(plain, [logits_of(s) for s in run(task, Config(mix=mix))])
    assert not same(plain, [logits_of(s) for s in run(task, Config())])


def test_the_set_is_the_same_for_all_settings_but_the_share(task):
    first, second = real_images(task, 24), real_images(task, 48)
    assert len(first.images) == 20 and len(second.images) in range(40, 51)
    assert torch.equal(real_images(replace(task, lr=0.1), 24).images, first.images)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(InputError, match="share"):
        Config(share=share)
