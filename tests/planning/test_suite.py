"""Suites: what is in them, what the command overrides, and errors that say what was meant."""

import dataclasses

import pytest

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import CEILING, FLOOR, METHODS
from benchmarks.planning.scales import SCALES
from benchmarks.planning.suite import read_suite, suite_names
from mosaic.fl.errors import InputError

TINY = """
question = "Is it?"
omega = [0.1]
clients = [2]
[[method]]
name = "fedavg"
[[method]]
name = "mosaic"
"""


@pytest.fixture
def written(tmp_path):
    """A suite of that text, read."""

    def write(text: str):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return read_suite(str(path))

    return write


def cells(name: str = "heterogeneity", scale: str = "quick", **given):
    return expand_cells(*read_suite(name), scale, **given)


# The suites that are here


def test_the_cells_of_heterogeneity():
    """1 data set x 2 seeds x 3 omegas; at full width HeteroFL and FedRolex are FedAvg, run once."""
    found = cells()
    labels = set(METHODS) | {"mosaic-source", "mosaic-cvae"}
    assert len(found) == 2 * 3 * (len(labels) - 2 + len(labels))
    assert {cell.method for cell in found} == set(METHODS) and {
        cell.label for cell in found
    } == labels
    assert {cell.task.omega for cell in found} == {0.01, 0.1, 1.0}
    assert {cell.task.seed for cell in found} == {0, 1}
    assert all(cell.task.widths for cell in found if cell.method == "fedrolex")
    assert len({cell.key for cell in found}) == len(found)


@pytest.mark.parametrize("suite", suite_names())
@pytest.mark.parametrize("scale", SCALES)
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


def test_the_order_of_the_tables_begins_with_the_floor_and_ends_with_the_ceiling():
    assert (list(METHODS)[0], list(METHODS)[-1]) == (FLOOR, CEILING)


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_has_one_factor_a_side_for_all_methods(scale):
    size, factors = SCALES[scale], {}
    for cell in cells(scale=scale):
        for field in dataclasses.fields(cell.config):
            is_scaled = "work" in field.metadata and field.default
            if is_scaled and field.name not in size.methods.get(cell.method, {}):
                wanted = max(
                    1, round(field.default * getattr(size, f"{field.metadata['work']}_work"))
                )
                assert getattr(cell.config, field.name) == wanted, (cell.label, field.name)
                factors[cell.method, field.name] = wanted
    assert ("mosaic", "generator_steps") in factors and ("dense", "epochs") in factors


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


def test_fedrolex_is_not_run_where_it_is_fedavg():
    assert cells(methods=["fedrolex"], widths=["full"]) == []
    assert cells(methods=["fedrolex"], widths=["1,1"]) == []


@pytest.mark.parametrize("given", ["500", 500])
def test_a_field_that_may_be_none_is_read_as_a_number(given):
    found = cells(methods=["fedavg"], settings={"task": {"n_train": given}})
    assert {cell.task.n_train for cell in found} == {500}


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
        ({"mosaic": {"k": "ten"}}, "mosaic.k is 'ten'; it must be of type int."),
        ({"mosaic": {"k": 2.5}}, "mosaic.k is 2.5; it must be of type int."),
        ({"mosaic": {"meta": "gates"}}, "'gates'; possible: linear, gate, transformer."),
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
        (TINY.replace("[0.1]", '["low"]'), r"omega.0: .*number.*, not 'low'"),
        (TINY.replace("omega = [0.1]", ""), r"omega: field required"),
        ('x = "\x00"', r"not valid TOML"),
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


def test_an_omega_out_of_range_in_a_suite_file_is_found_before_anything_runs(written):
    suite = written(TINY.replace("[0.1]", "[0.1, 0.00001]"))
    with pytest.raises(InputError, match="omega is 1e-05; it is a number of at least 0.0001"):
        expand_cells(*suite, "quick")


def test_a_suite_may_list_its_methods_by_name(written):
    short = TINY[: TINY.index("[[method]]")] + 'methods = ["mosaic", "fedavg"]\n'
    found = [cell.label for cell in expand_cells(*written(short), "quick", seeds=[0])]
    assert found == ["fedavg", "mosaic"], "in the order of the tables"

    everything = TINY[: TINY.index("[[method]]")] + 'methods = "all"\nwidths = ["mixed"]\n'
    found = [cell.label for cell in expand_cells(*written(everything), "quick", seeds=[0])]
    assert found == list(METHODS)
