"""How a client's GAN may be trained otherwise: average weights, two rates, spectral norms, and a
client's model that is asked in some steps only."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from contract_runs import SMALL as SMALL_METHODS
from helpers import same

from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.network_flops import classifier
from mosaic import method as mosaic
from mosaic.client_generators import (
    GeneratorConfig,
    client_generator,
    new_training,
)
from mosaic.fl.costs import Account, opened
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.synthesis.client_images import gan_images
from mosaic.fl.synthesis.gan_training import GanConfig
from mosaic.generator_chain import chained_generator, generator_checkpoint, go_on

SMALL = GeneratorConfig(latent=8, ngf=4, generator_steps=4, generator_batch=16)

PAPERS_BATCH = 17_000 * 64 // 200
"""With so many images per step the paper's images are 200 steps, and checkpoints after 3 and 6."""

OPTIONS = {
    "ema": {"ema": 0.5},
    "two rates": {"discriminator_lr": 8e-4},
    "spectral": {"discriminator_norm": "spectral"},
    "judge": {"judge_every": 3},
    "all": {
        "ema": 0.9,
        "discriminator_lr": 8e-4,
        "discriminator_norm": "spectral",
        "judge_every": 2,
    },
}


def weights_after(task, config, steps: int) -> dict[str, torch.Tensor]:
    """The generator itself after so many steps of the chain."""
    training = new_training(task, config, 1)
    if steps == 0:
        return LiveNetwork(training.generator).save()
    return go_on(training, task, config, 1, 0, steps)["generator"]


# The average of the weights


def test_the_uploaded_weights_are_the_moving_average_of_the_live_ones(task, store):
    """With ema 0.5, after two steps: (w0 / 2 + w1 / 2) / 2 + w2 / 2; BatchNorm's statistics are the
    last ones."""
    w0, w1, w2 = (weights_after(task, SMALL, steps) for steps in range(3))
    averaged = replace(SMALL, ema=0.5, generator_steps=2)
    made: Any = chained_generator(task, averaged, 1)
    state = made["state"]
    assert state.keys() == w2.keys()
    for name, value in state.items():
        wanted = w0[name] / 4 + w1[name] / 4 + w2[name] / 2
        if "running" in name:
            wanted = w2[name]
        assert torch.allclose(value, wanted, atol=1e-7), name
    assert not same(state, w2)


def test_so_they_are_without_checkpoints(task, store):
    one_step = replace(SMALL, generator_steps=1)
    start = LiveNetwork(new_training(task, one_step, 0).generator).save()
    live: Any = client_generator(task, one_step, 0)["state"]
    state: Any = client_generator(task, replace(one_step, ema=0.75), 0)["state"]
    name = "layers.0.weight"
    assert torch.allclose(state[name], 0.75 * start[name] + 0.25 * live[name], atol=1e-7)
    assert torch.equal(state["layers.1.running_mean"], live["layers.1.running_mean"])


def test_an_average_changes_no_step(task, store):
    """The losses are the live networks'."""
    averaged = client_generator(task, replace(SMALL, ema=0.9), 0)
    assert averaged["losses"] == client_generator(task, SMALL, 0)["losses"]


# Two rates


def changes_of_first_step(task, config) -> tuple[float, float]:
    """By how much the first step changes a weight of generator and discriminator at most."""
    before, after = new_training(task, config, 0), new_training(task, config, 0)
    go_on(after, task, config, 0, 0, 1)
    found = []
    for name in ("generator", "discriminator"):
        old, new = getattr(before, name).parameters(), getattr(after, name).parameters()
        pairs = zip(old, new, strict=True)
        found.append(max((a - b).abs().max().item() for a, b in pairs))
    return found[0], found[1]


def test_each_network_takes_its_own_rate(task, store):
    """Adam's first step moves a weight by its rate, where the gradient is far above 1e-8."""
    config = replace(SMALL, generator_lr=1e-3, discriminator_lr=4e-3)
    assert changes_of_first_step(task, config) == pytest.approx((1e-3, 4e-3), rel=1e-2)
    config = replace(config, discriminator_lr=0.0)
    assert changes_of_first_step(task, config) == pytest.approx((1e-3, 1e-3), rel=1e-2)


def test_no_rate_of_the_discriminators_own_is_the_generators_bit_by_bit(task, store):
    both = [
        client_generator(task, replace(SMALL, discriminator_lr=rate), 0)
        for rate in (0.0, SMALL.generator_lr)
    ]
    assert same(both[0], both[1])


# Spectral norms


def test_a_spectral_discriminator_is_repeatable_and_another_one(task, store):
    spectral = replace(SMALL, discriminator_norm="spectral")
    twice = [go_on(new_training(task, spectral, 0), task, spectral, 0, 0, 2) for _ in range(2)]
    assert same(twice[0], twice[1])
    assert not same(twice[0]["generator"], weights_after(task, SMALL, 2))
    of_spectrum = [name for name in twice[0]["discriminator"] if "parametrizations" in name]
    assert of_spectrum


def test_both_gans_start_from_the_same_generator(task, store):
    spectral = replace(SMALL, discriminator_norm="spectral")
    assert same(weights_after(task, spectral, 0), weights_after(task, SMALL, 0))


# The client's model in every k-th step only


def step_flops(task, config, client: int = 0) -> float:
    with opened(Account()) as account:
        client_generator(task, config, client)
    return account.total().step_flops["generator"]


@pytest.mark.parametrize("judge_every, judged", [(2, 2), (3, 2), (4, 1), (9, 1)])
def test_a_model_that_is_asked_less_often_costs_as_much_less(judge_every, judged, task, store):
    """Of four steps, those with the numbers 0, 2 or 0, 3 or 0 are judged."""
    saved = step_flops(task, SMALL) - step_flops(task, replace(SMALL, judge_every=judge_every))
    of_judge = 16 * classifier(task.spec, images=True)
    assert saved == pytest.approx((4 - judged) * of_judge, rel=0.01)


def test_an_unjudged_step_has_the_adversarial_loss_alone(task, store):
    """Where only step 0 of one step is judged, all is as before; a second step goes without: as
    with weights of 0."""
    alone = {"lambda_e": 0.0, "lambda_d": 0.0, "lambda_i": 0.0}
    seldom = replace(SMALL, judge_every=5)
    first = go_on(new_training(task, seldom, 0), task, seldom, 0, 0, 1)
    assert same(first, go_on(new_training(task, SMALL, 0), task, SMALL, 0, 0, 1))

    found = []
    for config in (seldom, replace(SMALL, **alone)):
        training = new_training(task, SMALL, 0)
        go_on(training, task, SMALL, 0, 0, 1)
        found.append(go_on(training, task, config, 0, 1, 2)["generator"])
    assert same(found[0], found[1])


def test_losses_of_the_judge_are_means_over_the_judged_steps(task, store):
    """Of the steps 18 and 19, the last tenth of 20, the first one is judged with k = 3."""
    seldom = replace(SMALL, judge_every=3)
    found = []
    for stop in (19, 20):
        training = new_training(task, seldom, 0)
        go_on(training, task, seldom, 0, 0, 18)
        found.append(go_on(training, task, seldom, 0, 18, stop)["losses"])
    of_step_18, of_both = found
    for name in ("entropy", "diversity", "inversion"):
        assert of_step_18[name] == of_both[name] > 0
    assert of_step_18["adversarial"] != of_both["adversarial"]


def test_without_a_judged_step_there_is_no_mean(task, store):
    seldom = replace(SMALL, judge_every=5)
    training = new_training(task, seldom, 0)
    losses = go_on(training, task, seldom, 0, 1, 4)["losses"]
    assert math.isnan(losses["entropy"]) and losses["adversarial"] > 0


# All of them


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("option", OPTIONS)
def test_going_on_is_never_stopping(option, precision, task, store):
    """Networks, optimisers, the average and the losses, bit by bit, with stops after 3 and 6."""
    task = replace(task, precision=precision)
    config = replace(SMALL, generator_steps=20, generator_batch=PAPERS_BATCH, **OPTIONS[option])
    never_stopped = go_on(new_training(task, config, 1), task, config, 1, 0, 20)
    for steps in (3, 6):
        generator_checkpoint(task, replace(config, generator_steps=steps), 1)
    assert same(generator_checkpoint(task, config, 1), never_stopped)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_forecast_is_what_is_counted(option, task, store):
    config = replace(SMALL_METHODS["mosaic"], generator_steps=10, **OPTIONS[option])
    with opened(Account()) as account:
        list(mosaic.run(task, config))
    forecast = sum(part.flops for part in PARTS["mosaic"](task, config) if part.side == "client")
    assert forecast == pytest.approx(account.total().step_flops["generator"], rel=0.06)


@pytest.mark.parametrize("option", ["ema", "two rates", "spectral"])
def test_sda_fls_gans_have_the_options_that_need_no_model_of_the_client(option, task, store):
    plain = GanConfig(latent=8, ngf=4, generator_steps=20, generator_batch=16, generator_lr=1e-2)
    images = gan_images(task, plain, 0, 5)
    changed = gan_images(task, replace(plain, **OPTIONS[option]), 0, 5)
    assert changed.shape == images.shape and not torch.equal(changed, images)
