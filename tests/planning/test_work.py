"""What the cells of the suites compute: equally much, or as many steps as in the paper."""

import dataclasses

import pytest

from benchmarks.planning.budget import SIDES, counted_fields, most_steps
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import METHODS
from benchmarks.planning.scales import SCALES
from benchmarks.planning.show import budget_text
from benchmarks.planning.suite import read_suite, suite_names
from mosaic.fl.data.loading import is_here
from mosaic.fl.errors import InputError

OWN = """\"\"\"Own: a method.\"\"\"

from dataclasses import dataclass

from mosaic.fl import Snapshot, scaled_steps

PAPER = ""
PROTOCOL = "none"
NEEDS = ()
SPACE = {}


@dataclass(frozen=True)
class Config:
    steps: int = scaled_steps(1_000, "server")


def run(task, config):
    yield Snapshot(round=task.rounds, predict=lambda x: x)
"""


def cells(suite: str = "heterogeneity", scale: str = "quick", **given):
    return expand_cells(*read_suite(suite), scale, **given)


@pytest.mark.parametrize("scale", ["quick", "laptop"])
@pytest.mark.parametrize("suite", suite_names())
def test_each_entry_spends_its_budget_or_has_its_papers_steps(suite, scale):
    """Within 5 % on each side. A side without steps to choose costs what it costs: so do generators
    whose share of the paper's steps a suite sets, and steps that are the points of a grid. Where
    one client trains, or a share of them in a round, a whole step may be more than 5 % of the
    budget, or than all of it.
    """
    n_known = 0
    for cell in cells(suite, scale, seeds=[0]):
        if cell.task.epochs and not is_here(cell.task.dataset, "train"):
            continue
        few = cell.task.n_clients == 1 or cell.task.participation < 1
        for side in SIDES:
            counted = counted_fields(cell.config, side)
            is_set = side == "client" and getattr(cell.config, "generator_share", 0)
            if not counted or is_set:
                continue
            n_known += 1
            if few:
                continue
            budget = getattr(cell.work, f"{side}_budget")
            found = getattr(cell.work, f"{side}_spent")
            papers = {field.name: most_steps(cell.config, field, cell.task) for field in counted}
            has_papers = all(getattr(cell.config, name) >= round(n) for name, n in papers.items())
            has_its_own = not papers.keys().isdisjoint(cell.grid_settings)
            if has_papers or has_its_own:
                assert found <= budget * 1.05, (cell.title, side)
            else:
                assert found == pytest.approx(budget, rel=0.05), (cell.title, side)
    assert n_known or not is_here("fashion_mnist", "train")


def test_both_budgets_and_what_a_cell_says_of_them():
    """Mosaic at the quick scale; with "paper" it has 1 % of 17,000 steps of 64, in steps of 32."""
    given = {"methods": ["mosaic"], "omega": [0.1], "seeds": [0], "widths": ["full"]}
    (equal,) = cells(**given)
    assert equal.work.budget == "equal"
    assert (equal.work.client_budget, equal.work.client_work) == (6, None)
    assert equal.work.client_spent == pytest.approx(6, rel=0.05)

    (paper,) = cells(**given, budget="paper")
    assert paper.work.budget == "paper"
    assert (paper.work.client_budget, paper.work.client_work) == (None, 0.01)
    assert paper.config.generator_steps == 340
    assert paper.work.client_share == pytest.approx(0.01)
    assert equal.key != paper.key
    assert "6 times FedAvg's local training at the clients, 3 times at" in budget_text([equal])
    assert "0.01 of the papers' images at the clients, 0.04 at" in budget_text([paper])
    with pytest.raises(InputError, match="unknown budget 'papers'; did you mean 'paper'"):
        cells(budget="papers")


def test_all_methods_have_the_same_share_of_their_papers_with_that_budget():
    """Up to whole steps."""
    for cell in cells("heterogeneity", "laptop", budget="paper", seeds=[0], omega=[0.1]):
        for side in SIDES:
            share = getattr(cell.work, f"{side}_share")
            if share is None:
                continue
            wanted = getattr(SCALES["laptop"], f"{side}_work")
            assert share == pytest.approx(wanted, rel=0.02), (cell.label, side)


def test_a_number_of_steps_that_is_set_stays():
    (cell,) = cells(
        methods=["mosaic"],
        omega=[0.1],
        seeds=[0],
        widths=["full"],
        settings={"mosaic": {"distil_steps": "7"}},
    )
    assert cell.config.distil_steps == 7
    assert cell.work.server_spent < cell.work.server_budget / 2
    assert cell.work.client_spent == pytest.approx(6, rel=0.05)


def test_a_method_from_a_file_has_the_share_of_its_own_steps(tmp_path, no_methods_left):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    (cell,) = cells(methods=[str(path)], omega=[0.1], seeds=[0], widths=["full"])
    assert cell.config.steps == 40  # 1,000 times the quick scale's 0.04
    assert cell.work.budget == "paper"
    assert (cell.work.server_work, cell.work.server_spent) == (0.04, None)
    assert cell.work.server_share == pytest.approx(0.04)


def test_steps_are_the_same_for_all_seeds_so_that_a_line_of_a_table_is_one_method():
    steps = {}
    for cell in cells("oneshot", datasets=["digits"]):
        config = dataclasses.asdict(cell.config)
        if getattr(cell.config, "steps_per", "") == "module":
            continue  # its modules are as many as a client has classes
        steps.setdefault((cell.label, cell.task.omega, cell.task.n_clients), set()).add(str(config))
    assert {len(found) for found in steps.values()} == {1}


@pytest.mark.parametrize("method", METHODS)
def test_the_field_of_a_batch_exists_and_the_default_is_a_number_of_images(method):
    config = METHODS[method].Config()
    for side in SIDES:
        for field in counted_fields(config, side):
            batch = field.metadata["batch"]
            assert not batch or getattr(config, batch) >= 1
            assert getattr(config, field.name) >= 1
