"""No switch of Mosaic is left that no suite uses."""

import dataclasses

import pytest

from benchmarks.planning.suite import read_suite, suite_names
from mosaic.method import SPACE, Config

SIZES = {"latent", "ngf", "generator_batch", "distil_batch", "cvae_latent", "cvae_hidden"}
SIZES |= {"cvae_batch", "cvae_width", "flow_hidden", "flow_batch"}
"""Sizes of networks and batches: a scale's, or the papers'."""

RATES = {"generator_lr", "meta_lr", "distil_lr", "finetune_lr", "cvae_lr", "flow_lr"}
"""Learning rates: tuned, or the papers'."""

BUDGET = {"generator_steps", "distil_steps", "cvae_steps", "flow_steps"}
"""Solved for the budget."""

OF_GENERATORS = {"cvae_kl", "cvae_truncation", "flow_euler"}
"""The CVAE's and the flow's own."""

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


@pytest.fixture(scope="module")
def used() -> dict[str, set]:
    """The values of each of Mosaic's settings in all suites, with its default."""
    values = {name: {field.default} for name, field in FIELDS.items()}
    for name in suite_names():
        for entry in read_suite(name)[1].method:
            if entry.name != "mosaic":
                continue
            for setting, value in entry.set.items():
                values[setting].add(value)
            for setting, points in entry.grid.items():
                values[setting] |= set(points)
    return values


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_has_two_values_in_the_suites_or_is_a_size_or_a_rate(name, used):
    if name in SIZES | RATES | BUDGET | OF_GENERATORS:
        assert "choices" not in FIELDS[name].metadata
    else:
        assert len(used[name]) > 1, f"no suite uses mosaic.{name}"


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if "choices" in f.metadata])
def test_each_choice_of_a_switch_is_in_a_suite(name, used):
    missing = set(FIELDS[name].metadata["choices"]) - used[name]
    assert not missing, f"no suite has mosaic.{name} = {missing}"


def test_what_is_tuned_is_among_the_settings():
    assert set(SPACE) <= set(FIELDS)
