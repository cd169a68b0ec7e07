"""Mosaic's settings: each variant runs."""

import dataclasses

import pytest
import torch
from contract_runs import SMALL, config_of, images, logits_of

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.suite import read_suite
from mosaic import method as mosaic
from mosaic.fl.costs import Account, opened


@pytest.mark.parametrize("teacher", ["experts", "source"])
@pytest.mark.parametrize("sampling", ["uniform", "size"])
def test_mosaics_variants_run(teacher, sampling, task, store):
    config = dataclasses.replace(
        SMALL["mosaic"],
        teacher=teacher,
        sampling=sampling,
        weight_jsd=0.5,
        finetune_rounds=2,
        finetune_lr=0.01,
    )
    snapshots = list(mosaic.run(task, config))
    assert [snapshot.round for snapshot in snapshots] == [2, 3, 4]
    assert all(logits_of(snapshot).isfinite().all() for snapshot in snapshots)
    assert not torch.equal(logits_of(snapshots[0]), logits_of(snapshots[2]))


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": "flow", "flow_hidden": 16, "flow_steps": 4, "flow_batch": 16},
        {"generator": "cvae", "cvae_network": "convolutional", "cvae_width": 2, "cvae_steps": 4},
    ],
)
def test_mosaic_runs_with_generators_that_know_the_label_and_costs_what_is_forecast(
    changes, task, store
):
    config = dataclasses.replace(SMALL["mosaic"], teacher="source", **changes)
    with opened(Account()) as account:
        [snapshot] = mosaic.run(task, config)
    assert logits_of(snapshot).isfinite().all()
    parts = PARTS["mosaic"](task, config)
    forecast = sum(part.flops for part in parts if part.side == "client")
    assert forecast == pytest.approx(account.total().step_flops[config.generator], rel=0.1)


def test_the_authors_mosaic_runs(task, store):
    """The suite's entry, with less work."""
    (cell,) = expand_cells(
        *read_suite("heterogeneity"), "quick", methods=["mosaic-authors"], omega=[0.1], seeds=[0]
    )
    sizes = ("latent", "ngf", "generator_steps", "generator_batch", "distil_steps", "distil_batch")
    small = {name: getattr(SMALL["mosaic"], name) for name in sizes}
    config = dataclasses.replace(cell.config, **small, meta_steps=2)
    first, *rounds = mosaic.run(task, config)
    assert len(rounds) == 3 and logits_of(rounds[-1]).isfinite().all()
    assert "meta_accuracy" not in first.diagnostics  # no prototype is held out


@pytest.mark.parametrize("protocol", ["rounds", "oneshot"])
def test_mosaic_knows_networks_whose_features_are_pixels(protocol, task, store):
    config = dataclasses.replace(config_of("mosaic"), protocol=protocol)
    *_, last = mosaic.run(dataclasses.replace(task, model="cnn2"), config)
    assert last.predict(images()).isfinite().all()


def test_rounds_of_fine_tuning_keep_what_the_record_takes_from_the_last_snapshot(task, store):
    """The record has FID, probes and diagnostics of the last snapshot."""
    config = dataclasses.replace(SMALL["mosaic"], finetune_rounds=2, finetune_lr=0.01)
    first, *later = mosaic.run(task, config)
    assert len(later) == 2 and first.synthesise is not None and first.diagnostics
    for snapshot in later:
        drawn = snapshot.synthesise(5, torch.Generator().manual_seed(0))[0]
        assert torch.equal(drawn, first.synthesise(5, torch.Generator().manual_seed(0))[0])
        assert snapshot.probes.keys() == first.probes.keys()
        assert snapshot.diagnostics == first.diagnostics
