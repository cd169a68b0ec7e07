"""Suites: the main one spells out, errors say what was meant, and a cell's key is what determines its numbers."""

import dataclasses

import pytest

from benchmarks.planning.axes import check_omega, seeds_of, widths_of
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import CEILING, FLOOR, METHODS
from benchmarks.planning.scales import SCALES
from benchmarks.planning.settings import configure
from benchmarks.planning.suite import read_suite, suite_names
from mosaic.fl.errors import InputError
from mosaic.fl.task import Task

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


def test_heterogeneity_spells_out():
    """1 data set x 2 seeds x 3 omegas; at full width HeteroFL and FedRolex are FedAvg, and are not run twice."""
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
def test_every_suite_spells_out_at_every_scale_with_a_floor_and_a_ceiling(suite, scale):
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
            if "work" in field.metadata and field.name not in size.methods.get(cell.method, {}):
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
    "ask, wanted",
    [
        (lambda: read_suite("heterogenity"), "unknown suite 'heterogenity'; did you mean 'heterogeneity'?"),
        (lambda: cells(scale="quik"), "unknown scale 'quik'; did you mean 'quick'? Known: laptop, paper, quick."),
        (lambda: cells(methods=["mosiac"]), "unknown method 'mosiac'; did you mean 'mosaic'?"),
        (lambda: cells(methods=["fedagv"]), "did you mean 'fedavg'?"),
        (lambda: cells(datasets=["digit"]), "unknown data set 'digit'; did you mean 'digits'?"),
        (lambda: cells(settings={"mosaic": {"lamda_e": 1}}), "setting of mosaic 'lamda_e'; did you mean 'lambda_e'"),
        (lambda: cells(settings={"task": {"round": 3}}), "unknown setting of task 'round'; did you mean 'rounds'?"),
        (lambda: cells(settings={"mosaic-sauce": {"k": 3}}), "did you mean 'mosaic-source'?"),
        (lambda: cells(settings={"local": {"mu": 3}}), "local has no settings; 'mu' was given."),
        (lambda: cells(settings={"mosaic": {"k": "ten"}}), "mosaic.k is 'ten'; it must be of type int."),
        (lambda: cells(settings={"mosaic": {"k": 2.5}}), "mosaic.k is 2.5; it must be of type int."),
        (lambda: cells(settings={"mosaic": {"meta": "gates"}}), "'gates'; possible: linear, gate, transformer."),
        (lambda: cells(settings={"task": {"rounds": 0}}), "rounds is 0; it must be at least 1."),
        (lambda: cells(settings={"task": {"batch_norm": "x"}}), "batch_norm is 'x'; possible: average, batch."),
        (lambda: read_suite("nowhere.toml"), "there is no suite file 'nowhere.toml'"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_value_is_an_input_error_that_helps(ask, wanted):
    with pytest.raises(InputError) as error:
        ask()
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "text, wanted",
    [
        (TINY.replace("clients = [2]", "clients = [2"), r"own.toml is not valid TOML: .*line 5"),
        (TINY.replace("omega", "omgea"), r"unknown key 'omgea'; did you mean 'omega'\?"),
        (TINY.replace('"fedavg"', '"fedavg"\nlable = "x"'), r"method.0.lable: unknown key .*did you mean 'label'\?"),
        (TINY.replace("[0.1]", '["low"]'), r"omega.0: .*number.*, not 'low'"),
        (TINY.replace("omega = [0.1]", ""), r"omega: field required"),
        ('x = "\x00"', r"not valid TOML"),
    ],
)  # fmt: skip
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


# Seeds, widths, omega


@pytest.mark.parametrize(
    "given, seeds", [("3", [0, 1, 2]), (1, [0]), ("4,0", [4, 0]), ([5, 6], [5, 6]), (" 2 ", [0, 1])]
)
def test_seeds(given, seeds):
    assert seeds_of(given) == seeds


@pytest.mark.parametrize("given", ["0", "-1", "x", "", "1,1", "1,-2", "2.5", "1,"])
def test_wrong_seeds(given):
    with pytest.raises(InputError, match="seeds"):
        seeds_of(given)


@pytest.mark.parametrize(
    "name, n_clients, widths",
    [
        ("full", 3, ()),
        ("1,1", 4, ()),
        ("0.5", 3, (0.5, 0.5, 0.5)),
        ("1,0.5", 4, (1, 1, 0.5, 0.5)),
        ("1,0.5,0.25", 3, (1, 0.5, 0.25)),
        # (1/2)^min(2, floor(3k/10)), k = 1..10: floors 0 0 0 1 1 1 2 2 2 3
        ("mixed", 10, (1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25)),
        # (1/2)^min(4, k), k = 1..5
        ("rho=5", 5, (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16)),
        ("rho=5,sigma=1", 5, (1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2)),
        ("rho=0", 3, ()),
    ],
)
def test_widths(name, n_clients, widths):
    assert widths_of(name, n_clients) == widths


@pytest.mark.parametrize(
    "name",
    [
        "mxed",
        "",
        "0",
        "1.5",
        "1,-1",
        "rho=x",
        "rho=5,tau=3",
        "rho=",
        "nan",
        "rho=nan",
        "rho=inf",
    ],
)
def test_wrong_widths(name):
    with pytest.raises(InputError, match="width"):
        widths_of(name, 3)


@pytest.mark.parametrize("text, omega", [("0.1", 0.1), ("inf", float("inf")), ("1e-4", 1e-4)])
def test_omega(text, omega):
    assert check_omega(text) == omega


@pytest.mark.parametrize("text", ["0", "-1", "nan", "much", "1e-5"])
def test_wrong_omega(text):
    with pytest.raises(InputError, match="omega"):
        check_omega(text)


# Keys


@pytest.fixture
def cell():
    return next(cell for cell in cells() if cell.label == "mosaic")


@pytest.mark.parametrize(
    "change",
    [
        {"label": "x"},
        {"suite": "x"},
        {"scale": "x"},
        {"widths": "x"},
        {"client_work": 7.0},
        {"server_work": 7.0},
    ],
)
def test_a_key_does_not_depend_on_what_does_not_determine_the_numbers(cell, change):
    assert dataclasses.replace(cell, **change).key == cell.key


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(METHODS["mosaic"].Config)])
def test_a_key_depends_on_every_setting(cell, field):
    value = getattr(cell.config, field)
    config = dataclasses.replace(
        cell.config, **{field: value + 1 if not isinstance(value, str) else value + "x"}
    )
    assert dataclasses.replace(cell, config=config).key != cell.key


OTHER = dict(
    **dict(
        dataset="mnist",
        n_train=100,
        validation=0.2,
        omega=0.5,
        law="class",
        min_samples=2,
        n_clients=7,
        seed=9,
    ),
    **dict(
        widths=(0.5,) * 10,
        model="resnet18",
        base_width=5,
        batch_norm="batch",
        rounds=7,
        score_every=7,
        steps=7,
    ),
    **dict(
        epochs=7, batch_size=7, lr=0.7, momentum=0.7, weight_decay=0.7, precision="bf16", threads=7
    ),
    participation=0.5,
)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Task)])
def test_a_key_depends_on_every_fact_of_the_task(cell, field):
    assert (
        dataclasses.replace(cell, task=dataclasses.replace(cell.task, **{field: OTHER[field]})).key
        != cell.key
    )


def test_a_key_depends_on_the_method_and_on_how_many_images_are_scored(cell):
    keys = {
        cell.key,
        dataclasses.replace(cell, method="x").key,
        dataclasses.replace(cell, fidelity_n=1).key,
    }
    assert len(keys) == 3 and len(cell.key) == 16


def test_numbers_that_are_equal_are_one_key_however_they_are_written():
    def key(settings, omega):
        return cells(
            methods=["mosaic"], settings=settings, omega=[omega], widths=["full"], seeds=[0]
        )[0].key

    assert key({"mosaic": {"k": "5", "lambda_e": "2"}, "task": {"lr": "1e-1"}}, 1) == key(
        {"mosaic": {"k": 5.0, "lambda_e": 2}, "task": {"lr": 0.1}}, 1.0
    )


def test_work_is_rounded_and_never_vanishes():
    config = configure("mosaic", {"client": 1e-9, "server": 0.5}, {})
    assert (config.generator_steps, config.distil_steps) == (1, 750)
    assert (
        configure("mosaic", {"client": 0.1, "server": 0.1}, {"generator_steps": 12}).generator_steps
        == 12
    )
