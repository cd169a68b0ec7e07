"""The FLOPs of training and prediction, and the bytes of what crosses the network, are counted."""

from dataclasses import replace

import pytest
import safetensors.torch

from mosaic.fl import costs
from mosaic.fl.channel import download, n_bytes, upload
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

# Base width 4 on 8x8: convolutions 1->4, 4->8, 8->16, 16->16 at 8, 4, 2 and 1 pixels per side.
# 2 x 9 x (64x1x4 + 16x4x8 + 4x8x16) = 2 x 9 x 1,280 = 23,040. Of the nine pixels under the last
# kernel eight are padding: it is a product of 2 x 16 x 16 = 512. The classifier's is
# 2 x 16 x 10 = 320.
FORWARD = 23_040 + 512 + 320
# The backward pass is twice that, without the gradient to the image, which is not computed:
# 2 x 9 x 64x1x4 = 4,608.
TRAINING = 3 * FORWARD - 4_608


def test_flops_are_those_of_the_formula_on_the_first_call_and_on_later_ones(
    task, start, shard, monkeypatch
):
    monkeypatch.setattr(costs, "_flops", {})
    for n in (5, 3):
        with opened(Account()) as account:
            predictor(start, task)(normalise(shard.images[:n]))
        assert account.own.flops == n * FORWARD
    for steps in (3, 2):
        with opened(Account()) as account:
            train(start, shard, task, "test", steps=steps)
        assert account.own.flops == steps * task.batch_size * TRAINING


def test_bytes_counted_are_bytes_serialised(start, shard):
    """A safetensors file is 8 bytes with the length of its header, the header, and the tensors."""
    payload = start | {"counts": shard.label_counts, "images": shard.images[:3]}
    file = safetensors.torch.save({k: v.contiguous() for k, v in payload.items()})
    serialised = len(file) - 8 - int.from_bytes(file[:8], "little")
    with opened(Account()) as account:
        assert upload(payload) is payload
        assert download([payload, {"once": (payload,)}], "twice") is not None
    assert account.own.upload == {"model": serialised}
    assert account.own.download == {"twice": 2 * serialised}
    assert n_bytes(payload) == sum(len(v.contiguous().numpy().tobytes()) for v in payload.values())


def test_a_payload_that_is_no_tensor_cannot_cross_uncounted():
    with pytest.raises(TypeError, match="cannot count the bytes of a int"):
        upload({"secret": 7})


@pytest.mark.parametrize("rounds, score_every", [(2, 1), (5, 3), (4, 10), (1, 1)])
def test_a_warm_up_moves_one_model_each_way_per_client_and_round(task, store, rounds, score_every):
    """Whatever is kept on the way: no round is run, or charged, twice."""
    task = replace(task, rounds=rounds, score_every=score_every, steps=1)
    with opened(Account()) as account:
        federated_model(task, rounds)
    crossed = rounds * task.n_clients * n_bytes(initial_model(task.spec, 0))
    assert account.total().upload == account.total().download == {"model": crossed}
    assert account.own.upload == {}
