"""The chain of generators: going on equals never stopping, and a budget picks its checkpoint."""

from dataclasses import replace

import pytest
import torch
from contract_runs import SMALL
from helpers import same

from benchmarks.planning.scales import SCALES
from benchmarks.planning.work import planned
from mosaic import method as mosaic
from mosaic.client_generators import GeneratorConfig, client_generator, new_training
from mosaic.fl.cache import computed_stages
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.generator_chain import (
    SHARES,
    batches_between,
    chained_generator,
    checkpoints_to,
    generator_checkpoint,
    go_on,
    steps_at,
)

BATCH = 17_000 * 64 // 200
"""With so many images per step the paper's images are 200 steps."""

CONFIG = GeneratorConfig(latent=8, ngf=4, generator_steps=20, generator_batch=BATCH)


def test_the_papers_steps_have_the_papers_images():
    """17,000 steps of 64 images: 255, 510, 1,700 and 5,100 steps on the way; twice with 32."""
    assert [steps_at(share, 64) for share in SHARES] == [255, 510, 1700, 5100, 17_000]
    assert [steps_at(share, 32) for share in SHARES] == [510, 1020, 3400, 10_200, 34_000]
    assert checkpoints_to(CONFIG) == [3, 6, 20]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_going_on_from_stored_checkpoints_is_never_stopping(precision, task, store):
    """Networks, optimisers and losses, bit by bit, after 20 steps with two stops or none."""
    task = replace(task, precision=precision)
    never_stopped = go_on(new_training(task, CONFIG, 1), task, CONFIG, 1, 0, 20)
    for steps in (3, 6):
        generator_checkpoint(task, replace(CONFIG, generator_steps=steps), 1)
    with computed_stages() as computed:
        gone_on = generator_checkpoint(task, CONFIG, 1)
    assert len(computed) == 1  # the other two were read from disk
    assert same(gone_on, never_stopped)
    assert not same(gone_on["generator"], generator_checkpoint(task, CONFIG, 2)["generator"])


def test_a_client_with_fewer_images_than_a_batch_passes_over_all_of_them(task):
    shard = open_federation(task).shards[0]
    (whole,) = batches_between(task, shard, CONFIG, 4, 5)
    assert sorted(whole.tolist()) == sorted(shard.indices.tolist())


def test_batches_do_not_depend_on_where_the_training_stopped(task):
    shard = open_federation(task).shards[0]
    config = replace(CONFIG, generator_batch=7)
    in_one_go = list(batches_between(task, shard, config, 0, 40))
    in_parts = [*batches_between(task, shard, config, 0, 13)]
    in_parts += batches_between(task, shard, config, 13, 40)
    assert same(in_one_go, in_parts)
    assert len(torch.cat(in_one_go)[: shard.size].unique()) == shard.size  # each once per pass


def test_all_budgets_cost_what_the_largest_costs_and_a_generator_is_uploaded_once(task, store):
    steps = {}
    for n in (20, 6):
        with opened(Account()) as account:
            made = chained_generator(task, replace(CONFIG, generator_steps=n), 0)
        total = account.total()
        steps[n] = total.steps["generator"]
        assert total.upload["generator"] == n_bytes(made["state"])
    assert steps == {20: 20, 6: 6}  # a smaller budget is charged its own part
    with computed_stages() as computed:
        chained_generator(task, replace(CONFIG, generator_steps=3), 0)
    assert [key.split("/")[0] for key in computed] == ["chained_generator"]


def test_a_share_decides_the_steps_and_none_leaves_everything_as_it_was(task):
    mosaic_config = mosaic.Config(generator_share=0.1, generator_steps=7)
    assert mosaic_config.generator_steps == 1700
    settings = {"generator_share": 0.03}
    config, work = planned("mosaic", task, settings, "equal", SCALES["quick"], False)
    assert config.generator_steps == 510
    assert work.client_share == pytest.approx(0.03)
    with pytest.raises(InputError, match="generator_share is 0.1, but generator is 'cvae'"):
        mosaic.Config(generator_share=0.1, generator="cvae")


def test_mosaic_takes_the_generators_of_its_share(task, store):
    config = replace(SMALL["mosaic"], generator_batch=BATCH, generator_share=0.03)
    for wave in mosaic.stages(task, config):
        for call in wave:
            call()
    with computed_stages() as computed:
        (snapshot,) = mosaic.run(task, config)
    assert not computed  # all was announced
    of_share = chained_generator(task, replace(CONFIG, generator_steps=6), 0)
    in_one_stage = client_generator(task, replace(CONFIG, generator_steps=6), 0)
    assert snapshot.diagnostics["generator_discriminator"] > 0
    assert not same(of_share["state"], in_one_stage["state"])
