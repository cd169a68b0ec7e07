"""The suite `feedback`: each line changes one part of the default."""

import dataclasses

import pytest
from small_suites import cells


@pytest.fixture(scope="module")
def found():
    return cells("feedback", omega=[0.1], seeds=[10])


PARTS = (
    {"generator"},
    {"generator", "cvae_network"},  # of CVAEs
    {"generator", "labels", "begin"},  # images of a GAN have no labels before there are models
    {"images"},
    {"mix"},
    {"rare"},
    {"begin"},
    {"labels", "begin"},
    {"refresh"},
    {"distil"},
    set(),  # the default itself, and where the steps are given
)


def test_each_line_of_the_method_changes_one_part(found):
    default = next(cell.config for cell in found if cell.label == "mosaic_feedback")
    fields = [field for field in dataclasses.fields(default) if "work" not in field.metadata]
    fields = [field for field in fields if field.name != "cvae_lr"]  # tuned for those with CVAEs
    for cell in found:
        if cell.method == "mosaic_feedback":
            values = [
                (f.name, getattr(cell.config, f.name), getattr(default, f.name)) for f in fields
            ]
            assert {name for name, own, usual in values if own != usual} in PARTS, cell.label


def test_quality_goes_from_noise_to_real_images(found):
    steps = sorted({c.config.flow_steps for c in found if c.label.startswith("feedback-quality")})
    default = next(cell.config for cell in found if cell.label == "mosaic_feedback")
    assert steps == [1, 10, 100] and default.flow_steps > 100
    assert any(cell.method == "data_sharing" for cell in found)


def test_sda_fl_is_beside_it_with_each_kind_of_generator(found):
    kinds = {cell.config.generator for cell in found if cell.method == "sda_fl"}
    assert kinds == {"dcgan", "cvae", "flow"}


def test_all_but_the_given_steps_spend_the_same_budget_at_the_clients(found):
    for cell in found:
        trains = cell.method in ("mosaic_feedback", "sda_fl")
        if trains and not cell.label.startswith("feedback-quality"):
            assert cell.work.client_spent == pytest.approx(6, rel=0.02), cell.label
