"""Suites: what is in them, what the command overrides, and errors that say what was meant."""

import dataclasses

import pytest
from small_suites import TINY, cells

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import CEILING, FLOOR, METHODS
from benchmarks.planning.scales import SCALES, check_reporting
from benchmarks.planning.suite import read_suite, suite_names
from mosaic.fl.errors import InputError

# The suites that are here


def test_the_cells_of_heterogeneity():
    """1 data set x 2 seeds x 3 omegas. At full width HeteroFL is FedRolex, and without their parts
    for unlike labels both are FedAvg; they are not run twice. Two entries have no narrow clients.
    """
    found = cells()
    plain = {"heterofl-plain", "fedrolex-plain"}
    variants = {"mosaic-source", "mosaic-cvae", "mosaic-experts"}
    variants |= {"sda_fl-flow", "ensemble-probabilities"}
    everywhere = set(METHODS) | variants
    whole = {"mosaic-authors", "fedavg-longer"}
    narrow = plain | {"heterofl"}
    assert len(found) == 2 * 3 * (2 * len(everywhere - narrow) + len(narrow) + len(whole))
    assert {cell.label for cell in found} == everywhere | plain | whole
    assert {cell.task.omega for cell in found} == {0.01, 0.1, 1.0}
    assert {cell.task.seed for cell in found} == {0, 1}
    assert all(cell.task.widths for cell in found if cell.label in narrow)
    assert all(cell.task.full_width for cell in found if cell.label in whole)
    assert len({cell.key for cell in found}) == len(found)


@pytest.mark.parametrize("suite", suite_names())
@pytest.mark.parametrize(
    "scale", ["quick", "laptop", pytest.param("paper", marks=pytest.mark.slow)]
)
def test_every_suite_has_a_floor_and_a_ceiling_at_every_scale(suite, scale):
    found = cells(suite, scale)
    by_task = {}
    for cell in found:
        by_task.setdefault(cell.task, set()).add(cell.method)
    assert all({FLOOR, CEILING} <= methods for methods in by_task.values())
    tasks = [cell.task for cell in found]
    assert (
        sum(a != b for a, b in zip(tasks, tasks[1:], strict=False)) == len(by_task) - 1
    )  # a task's cells are together


def test_each_scale_has_its_own_seeds_and_the_command_takes_their_place():
    one = {"methods": ["local"], "omega": [0.1], "widths": ["full"]}
    for scale, seeds in {"quick": [0, 1], "laptop": [10, 11, 12, 13, 14]}.items():
        assert [cell.task.seed for cell in cells(scale=scale, **one)] == seeds
        assert [cell.task.seed for cell in cells(scale=scale, seeds=[3], **one)] == [3]


def test_each_choice_has_an_entry_of_the_method_itself_and_another_one():
    found = cells("choices", seeds=[0])
    settings = {(cell.label, cell.task): cell.config for cell in found}
    others = [cell for cell in found if cell.label != cell.method]
    assert {cell.method for cell in others} >= {"heterofl", "fedrolex", "feddf", "fedftg", "mosaic"}
    for other in others:
        assert settings[other.method, other.task] != other.config, other.label


@pytest.mark.parametrize("scale", ["quick", "laptop"])
def test_fedavg_longer_computes_as_much_as_a_method_with_both_budgets(scale):
    (longer,) = {c.config for c in cells(scale=scale) if c.label == "fedavg-longer"}
    budget = SCALES[scale].budget
    assert longer.local == 1 + budget.client + budget.server


@pytest.mark.parametrize("scale", SCALES)
def test_the_seeds_of_a_scale_differ_and_are_not_for_tuning(scale):
    seeds = SCALES[scale].seeds
    assert len(set(seeds)) == len(seeds) > 1
    check_reporting(seeds)


def test_the_order_of_the_tables_begins_with_the_floor_and_ends_with_the_ceiling():
    assert (list(METHODS)[0], list(METHODS)[-1]) == (FLOOR, CEILING)


# What the command gives


def test_the_command_takes_the_place_of_the_suite_and_the_scale():
    (cell,) = cells(
        methods=["dense"],
        omega=[0.5],
        clients=[4],
        seeds=[7],
        widths=["full"],
        datasets=["digits"],
        settings={
            "task": {"rounds": "3", "lr": "1e-2"},
            "dense": {"epochs": "5", "student": "random"},
        },
        precision="bf16",
        threads=2,
    )
    task = cell.task
    assert (task.omega, task.n_clients, task.seed, task.widths, task.dataset) == (
        0.5,
        4,
        7,
        (),
        "digits",
    )
    assert (task.rounds, task.lr, task.precision, task.threads) == (3, 0.01, "bf16", 2)
    assert (cell.config.epochs, cell.config.student, cell.config.temperature) == (5, "random", 20.0)


def test_settings_by_label_reach_that_label_only():
    found = cells(settings={"mosaic-source": {"k": 3}, "mosaic": {"tau": 9}})
    config = {cell.label: cell.config for cell in found if cell.method == "mosaic"}
    assert (config["mosaic"].k, config["mosaic-source"].k) == (10, 3)
    assert config["mosaic"].tau == config["mosaic-source"].tau == 9
    assert (config["mosaic"].teacher, config["mosaic-source"].teacher) == ("meta", "source")


def test_a_method_that_a_suite_leaves_out_joins_with_its_defaults(written):
    found = expand_cells(*written(TINY), "quick", methods=["dense", "fedavg"])
    assert {cell.label for cell in found} == {"dense", "fedavg"}


@pytest.mark.parametrize("method", ["fedrolex", "heterofl"])
def test_a_method_is_not_run_where_it_is_fedavg(method):
    """At full width without the mask and the own rows, which alone make it another method there."""

    def found(widths, **settings):
        return cells(methods=[method], widths=[widths], settings={method: settings})

    plain = {"mask": "none", "rows": "all"}
    assert found("full", **plain) == found("1,1", **plain) == []
    assert found("mixed", **plain)
    assert found("full") and found("full", mask="none") and found("full", rows="all")


@pytest.mark.parametrize("suite", ["heterogeneity", "model_heterogeneity", "communication"])
def test_each_method_is_in_the_suites_that_compare_all(suite):
    assert {cell.method for cell in cells(suite)} == set(METHODS)


def test_means_of_probabilities_are_beside_those_of_logits():
    """Of each teacher that can be either, in one shot; and Mosaic without a meta model."""
    found = cells("oneshot", omega=[0.1], clients=[5], seeds=[0])
    by_label = {cell.label: cell.config for cell in found}
    for method in ("ensemble", "feddf", "dense", "coboosting"):
        of_logits, of_probabilities = by_label[method], by_label[f"{method}-probabilities"]
        assert dataclasses.replace(of_logits, mean="probabilities") == of_probabilities
    experts = by_label["mosaic-experts"]
    assert dataclasses.replace(experts, teacher="meta", mean="logits") == by_label["mosaic"]


@pytest.mark.parametrize("given", ["500", 500])
def test_a_field_that_may_be_none_is_read_as_a_number(given):
    found = cells(methods=["fedavg"], settings={"task": {"n_train": given}})
    assert {cell.task.n_train for cell in found} == {500}


def test_what_a_suite_has_of_its_own_at_a_scale_holds_there_alone(written):
    """Steps are solved from the suite's budget, and the command still has the last word."""
    own = "[scale.laptop]\ntask = { steps = 7 }\nbudget = { client = 2, server = 0.5 }\n"
    suite = written(TINY + own)
    given = {"seeds": [0], "methods": ["mosaic"]}

    (quick,) = expand_cells(*suite, "quick", **given)
    assert (quick.task.steps, quick.work.client_budget, quick.work.server_budget) == (5, 6, 3)

    (laptop,) = expand_cells(*suite, "laptop", **given)
    assert (laptop.task.steps, laptop.work.client_budget, laptop.work.server_budget) == (7, 2, 0.5)
    assert laptop.work.client_spent == pytest.approx(2, rel=0.05)

    (command,) = expand_cells(*suite, "laptop", **given, settings={"task": {"steps": 9}})
    assert command.task.steps == 9


# Errors say what was given, what is possible, and what was probably meant


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({"scale": "quik"}, "unknown scale 'quik'; did you mean 'quick'? Known: laptop, paper"),
        ({"methods": ["mosiac"]}, "unknown method 'mosiac'; did you mean 'mosaic'?"),
        ({"methods": ["fedagv"]}, "did you mean 'fedavg'?"),
        ({"datasets": ["digit"]}, "unknown data set 'digit'; did you mean 'digits'?"),
        ({"omega": [0.0]}, "omega is 0.0; it is a number of at least 0.0001, or inf."),
    ],
)
def test_a_wrong_name_is_an_input_error_that_helps(given, wanted):
    with pytest.raises(InputError) as error:
        cells(**given)
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({"mosaic": {"lamda_e": 1}}, "setting of mosaic 'lamda_e'; did you mean 'lambda_e'"),
        ({"task": {"round": 3}}, "unknown setting of task 'round'; did you mean 'rounds'?"),
        ({"mosaic-sauce": {"k": 3}}, "did you mean 'mosaic-source'?"),
        ({"local": {"mu": 3}}, "local has no settings; 'mu' was given."),
        ({"mosaic": {"k": "ten"}}, "mosaic.k is 'ten'; it must be a whole number."),
        ({"mosaic": {"k": 2.5}}, "mosaic.k is 2.5; it must be a whole number."),
        ({"mosaic": {"meta": "gates"}}, "'gates'; possible: linear, gate, transformer, ridge."),
        ({"task": {"rounds": 0}}, "rounds is 0; it must be at least 1."),
        ({"task": {"batch_norm": "x"}}, "batch_norm is 'x'; possible: average, batch."),
        ({"task": {"omega": 1}}, "task.omega is no setting: give the suite's or the command's own"),
    ],
)
def test_a_wrong_setting_is_an_input_error_that_helps(settings, wanted):
    with pytest.raises(InputError) as error:
        cells(settings=settings)
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("heterogenity", "unknown suite 'heterogenity'; did you mean 'heterogeneity'?"),
        ("nowhere.toml", "there is no suite file 'nowhere.toml'"),
    ],
)
def test_a_suite_that_is_not_there_is_an_input_error(name, wanted):
    with pytest.raises(InputError) as error:
        read_suite(name)
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "text, wanted",
    [
        (TINY.replace("clients = [2]", "clients = [2"), r"own.toml is not valid TOML: .*line 5"),
        (TINY.replace("omega", "omgea"), r"unknown key 'omgea'; did you mean 'omega'\?"),
        (
            TINY.replace('"fedavg"', '"fedavg"\nlable = "x"'),
            r"method.0.lable: unknown key .*did you mean 'label'\?",
        ),
        (TINY[: TINY.index("[[method]]")], 'own.toml names no method; write methods = "all"'),
        (TINY.replace("[0.1]", '["low"]'), r"omega.0: omega is 'low'; it is a number"),
        (TINY.replace("omega = [0.1]", ""), r"omega: field required"),
        ('x = "\x00"', r"not valid TOML"),
        (TINY + "[scale.labtop]\n", r"unknown scale 'labtop'; did you mean 'laptop'\?"),
        (TINY + "[scale.laptop]\ntsk = {}\n", r"scale.laptop.tsk: .*did you mean 'task'\?"),
        (
            TINY + "[scale.laptop]\nbudget = { client = 1, servr = 1 }\n",
            r"scale.laptop.budget.servr: .*did you mean 'server'\?",
        ),
        (
            TINY + "[scale.laptop]\nbudget = { client = 0, server = 1 }\n",
            r"scale.laptop.budget.client: input should be greater than 0",
        ),
    ],
)
def test_a_wrong_suite_file_says_where(written, text, wanted):
    with pytest.raises(InputError, match=wanted):
        written(text)


def test_an_unknown_method_of_a_suite_file_is_found(written):
    with pytest.raises(InputError, match="unknown method 'fedavgg'; did you mean 'fedavg'"):
        expand_cells(*written(TINY.replace('"fedavg"', '"fedavgg"')), "quick")


def test_two_entries_of_one_label_are_an_error(written):
    with pytest.raises(InputError, match="two methods of the suite have one label"):
        expand_cells(*written(TINY + '[[method]]\nname = "mosaic"\nset = { k = 3 }\n'), "quick")


def test_two_labels_of_one_cell_are_an_error(written):
    with pytest.raises(InputError, match="twin and mosaic are the same cell"):
        expand_cells(*written(TINY + '[[method]]\nname = "mosaic"\nlabel = "twin"\n'), "quick")


def test_a_suite_may_list_its_methods_by_name(written):
    short = TINY[: TINY.index("[[method]]")] + 'methods = ["mosaic", "fedavg"]\n'
    found = [cell.label for cell in expand_cells(*written(short), "quick", seeds=[0])]
    assert found == ["fedavg", "mosaic"], "in the order of the tables"

    everything = TINY[: TINY.index("[[method]]")] + 'methods = "all"\nwidths = ["mixed"]\n'
    found = [cell.label for cell in expand_cells(*written(everything), "quick", seeds=[0])]
    assert found == list(METHODS)


def test_heterofl_is_left_out_only_at_widths_where_fedrolex_is_in_its_place(written):
    """At full width the two are the same."""
    head = TINY[: TINY.index("[[method]]")] + 'widths = ["full", "mixed"]\n'
    entries = '[[method]]\nname = "heterofl"\n[[method]]\nname = "fedrolex"\n'

    def found(text: str) -> set[tuple[str, str]]:
        cells = expand_cells(*written(text), "quick", seeds=[0], clients=[10])
        return {(cell.label, cell.widths) for cell in cells}

    assert ("heterofl", "full") not in found(head + entries)
    assert ("heterofl", "full") in found(head + entries + 'widths = ["mixed"]\n')
