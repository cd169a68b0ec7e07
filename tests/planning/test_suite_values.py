"""A suite's values are checked when it is read, also those that the command replaces."""

import pytest
from small_suites import TINY, cells

from benchmarks.planning.expand import expand_cells
from mosaic.fl.errors import InputError

WRONG_VALUES = [
    ("omega = [0.1]", "omega = [0]", "omega.0: omega is 0; it is a number of at least 0.0001"),
    ("omega = [0.1]", "omega = [0.1, nan]", "omega.1: omega is nan"),
    ("omega = [0.1]", "omega = [-1]", "omega is -1"),
    ("omega = [0.1]", "omega = [0.1, 0.00001]", "omega is 1e-05"),
    ("omega = [0.1]", "omega = [true]", "omega is True; it is a number"),
    ("omega = [0.1]", "omega = []", "omega is an empty list; give at least one value"),
    ("omega = [0.1]", "omega = 0.1", "omega: input should be a valid list, not 0.1"),
    ("clients = [2]", "clients = []", "clients is an empty list"),
    ("clients = [2]", "clients = [0]", "n_clients is 0; it must be a whole number of at least 1"),
    ("clients = [2]", "clients = [true]", "n_clients is True"),
    ("clients = [2]", "clients = [2.5]", "n_clients is 2.5"),
    ("", "seeds = [-1]", "seeds is -1; it must be a whole number of at least 0"),
    ("", "seeds = [1.5]", "seeds is 1.5"),
    ("", "seeds = [0, true]", "seeds is True"),
    ("", "seeds = true", "seeds are True; give how many"),
    ("", "seeds = []", "seeds is an empty list"),
    ("", "seeds = 0", "0 seeds; give at least 1"),
    ("", "seeds = [1, 1]", "seeds has 1 twice"),
    ("", "widths = []", "widths is an empty list"),
    ("", "widths = [0.5]", 'widths are 0.5, which is no text such as "1,0.5"'),
    ("", 'widths = ["ful"]', "widths are 'ful'; possible: full, mixed"),
    ("", 'widths = ["1,1.5"]', "width 1.5 in '1,1.5' is outside"),
    ("", "datasets = []", "datasets is an empty list"),
    ("", "question = 3", "not valid TOML"),
    ("", 'pages = ["comunication"]', "pages.0: input should be 'communication', 'variance'"),
    ("", 'methods = "al"', "methods: write \"all\" or a list of names, not 'al'"),
    ("", "methods = [3]", 'methods: write "all" or a list of names, not [3]'),
]


@pytest.mark.parametrize("line, given, message", WRONG_VALUES)
def test_a_wrong_value_of_a_suite_is_found_when_it_is_read(written, line, given, message):
    text = TINY.replace(line, given) if line else given + TINY
    with pytest.raises(InputError) as error:
        written(text)
    assert message in str(error.value)
    assert "own.toml" in str(error.value)


WRONG_ENTRIES = [
    ('set = { mu = "x" }', "fedprox.mu is 'x'; it must be a finite number"),
    ("set = { mu = true }", "fedprox.mu is True; it must be a finite number"),
    ("set = { muu = 1 }", "unknown setting of fedprox 'muu'; did you mean 'mu'?"),
    ("grid = { muu = [1] }", "unknown setting of fedprox 'muu'; did you mean 'mu'?"),
    ("grid = { mu = [0.1, true] }", "fedprox.mu is True; it must be a finite number"),
    ("grid = { mu = [] }", "mu is an empty list"),
    ("grid = { mu = [1, 1.0] }", "the grid of fedprox, mu, has 1 and 1.0, which are the same"),
    ('widths = ["ful"]', "fedprox: widths is 'ful'; possible: full. Did you mean 'full'?"),
]


@pytest.mark.parametrize("line, message", WRONG_ENTRIES)
def test_a_wrong_entry_of_a_suite_is_found_though_its_method_is_not_run(written, line, message):
    with pytest.raises(InputError) as error:
        suite = written(TINY + f'[[method]]\nname = "fedprox"\n{line}\n')
        expand_cells(*suite, "quick", methods=["fedavg"])
    assert message in str(error.value)


def test_a_reference_that_is_no_label_is_an_error(written):
    with pytest.raises(InputError, match="unknown reference 'mosiac'; did you mean 'mosaic'"):
        expand_cells(*written('reference = "mosiac"' + TINY), "quick")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"omega": []}, "omega is an empty list"),
        ({"omega": [0.1, 0.1]}, "omega has 0.1 twice"),
        ({"omega": [True]}, "omega is True"),
        ({"clients": []}, "the list of numbers of clients is an empty list"),
        ({"clients": [10, 10.0]}, "the list of numbers of clients has 10 twice"),
        ({"clients": [0]}, "n_clients is 0"),
        ({"seeds": []}, "the list of seeds is an empty list"),
        ({"seeds": [0, 0]}, "the list of seeds has 0 twice"),
        ({"seeds": [-1]}, "each of the seeds is -1"),
        ({"datasets": []}, "the list of data sets is an empty list"),
        ({"datasets": ["digits", "digits"]}, "the list of data sets has digits twice"),
        ({"widths": []}, "the list of widths is an empty list"),
        ({"widths": ["full", "1,1"]}, "has full and 1,1, which are the same"),
        ({"widths": ["mixed", "rho=3,sigma=2"]}, "has mixed and rho=3,sigma=2, which are the same"),
        ({"widths": [0.5]}, "widths are 0.5, which is no text"),
        ({"widths": ["1,0.5,0.25"], "clients": [2]}, "more than one for each of 2 clients"),
        ({"methods": []}, "the list of methods is an empty list"),
        ({"methods": ["fedavg", "fedavg"]}, "the list of methods has fedavg twice"),
    ],
)
def test_the_same_checks_hold_for_what_takes_the_place_of_a_suites_values(given, message):
    with pytest.raises(InputError) as error:
        cells(**given)
    assert message in str(error.value)


@pytest.mark.parametrize("given", [{"omega": [0.1]}, {"settings": {"task": {"law": "client"}}}])
def test_a_given_split_has_no_omega_and_no_law(given):
    with pytest.raises(InputError, match="--partition gives the split, so .* has no effect"):
        cells(partition="0123456789abcdef", clients=[2], **given)


def test_a_point_of_a_grid_and_the_grid_are_the_same_method():
    with pytest.raises(InputError) as error:
        cells("lambda_sweep", methods=["mosaic", "mosaic lambda_e=0.5 lambda_d=2.0 lambda_i=5.0"])
    message = "has mosaic and mosaic lambda_e=0.5 lambda_d=2.0 lambda_i=5.0, which are the same"
    assert message in str(error.value)


def test_a_wrong_setting_of_the_task_gets_only_names_that_can_be_set():
    """omega and data are fields of Task, but no settings: the command has options for them."""
    with pytest.raises(InputError, match="did you mean 'rounds'") as error:
        cells(settings={"task": {"round": 3}})
    known = str(error.value).partition("Known: ")[2].rstrip(".").split(", ")
    assert "lr" in known and not {"omega", "data", "seed"} & set(known)
