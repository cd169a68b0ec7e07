"""Accounts: nested clocks, bytes by kind and direction, and FLOPs that are counted once."""

import os
import time

import pytest
import torch

from mosaic.fl import costs
from mosaic.fl.channel import download, n_bytes, upload
from mosaic.fl.costs import Account, Cost, account, metered, opened


def test_costs_add_up_by_kind_and_the_larger_peak_counts():
    total = Cost(seconds=1.0, steps={"train": 2}, upload={"model": 8}, peak_memory=5)
    total.add(Cost(seconds=0.5, steps={"train": 1, "distil": 4}, peak_memory=3))
    assert total.seconds == 1.5 and total.peak_memory == 5
    assert total.steps == {"train": 3, "distil": 4} and total.upload == {"model": 8}


def test_an_outer_clock_stops_while_an_inner_account_is_open():
    with opened(Account()) as outer:
        with opened(Account()) as inner:
            time.sleep(0.2)
        assert account() is outer
    assert outer.own.seconds < 0.1 and inner.own.seconds >= 0.2
    assert not outer.running


def test_without_an_open_account_costs_are_dropped():
    assert account() is not account()
    assert upload({"w": torch.zeros(3)})["w"].tolist() == [0, 0, 0]


def test_bytes_are_counted_by_direction_and_kind():
    """3 float32 are 12 bytes, 2 int64 are 16."""
    with opened(Account()) as opened_account:
        upload({"w": torch.zeros(3)})
        upload([torch.arange(2), (torch.zeros(3),)], "counts")
        download({"w": torch.zeros(3)})
    own = opened_account.own
    assert own.upload == {"model": 12, "counts": 28} and own.download == {"model": 12}


def test_only_tensors_can_be_sent():
    with pytest.raises(TypeError, match="cannot count the bytes of a float"):
        n_bytes({"lr": 0.1})


def test_steps_are_counted_and_their_flops_are_proportional_to_the_images(monkeypatch):
    """A product of (n, 3) and (3, 5) is 2 x 15 operations per image."""
    monkeypatch.setattr(costs, "_flops", {})
    weight = torch.ones(3, 5)
    with opened(Account()) as opened_account:
        for n in (4, 7):
            with metered("train", "a product", items=n):
                torch.ones(n, 3) @ weight
    own = opened_account.own
    assert own.steps == {"train": 2}
    assert own.step_flops == {"train": 30 * (4 + 7)} and own.flops == 330
    assert own.pass_seconds > 0


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system's maximum cannot be reset"
)
def test_peak_memory_is_that_since_the_last_reset():
    costs.reset_peak_memory()
    before = costs.peak_memory()
    block = torch.ones(16 << 20)  # 64 MiB
    assert costs.peak_memory() >= before + (48 << 20)
    del block
