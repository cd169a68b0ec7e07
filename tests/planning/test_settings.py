"""Settings at every entrance: --set, --params, a suite, a grid, the tuner and the Python API."""

import pytest
from helpers import LINEAR_MODEL

from benchmarks.api import request_of
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.settings import overruled, read_settings
from benchmarks.planning.suite import read_suite
from benchmarks.running.suite_run import open_run
from benchmarks.tuning.make_plan import plan_of
from benchmarks.tuning.options import parse
from mosaic.fl.errors import InputError
from mosaic.fl.models.registry import MODELS

HEAD = 'question = "?"\nomega = [0.1]\nclients = [2]\n'


def by_set(folder, method, key, value):
    return read_settings([f"{method}.{key}={toml(value)}"])


def by_params(folder, method, key, value):
    file = folder / "best.toml"
    file.write_text(f"[{method}]\n{key} = {toml(value)}\n")
    return read_settings([], [file])


def by_python(folder, method, key, value):
    return {method: {key: value}}


def toml(value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def run_cells(entrance, folder, method, key, value):
    settings = entrance(folder, method, key, value)
    options = {"methods": ["fedprox"], "settings": settings, "out": folder, "device": "cpu"}
    return open_run(request_of("heterogeneity", "quick", options), dry=True).cells


def in_a_suite(folder, method, key, value):
    table = "[task]" if method == "task" else '[[method]]\nname = "fedprox"\n[method.set]'
    methods = 'methods = ["fedprox"]\n' if method == "task" else ""
    file = folder / "own.toml"
    file.write_text(HEAD + f"{methods}{table}\n{key} = {toml(value)}\n")
    return expand_cells(*read_suite(str(file)), "quick")


def in_a_grid(folder, method, key, value):
    if method == "task":
        return in_a_suite(folder, method, key, value)
    file = folder / "own.toml"
    grid = f'[[method]]\nname = "fedprox"\ngrid = {{ {key} = [{toml(value)}] }}\n'
    file.write_text(HEAD + grid)
    return expand_cells(*read_suite(str(file)), "quick")


def in_the_tuner(folder, method, key, value):
    given = ["--method=fedprox", "--space=mu=1:2", "--device=cpu", f"--out={folder}"]
    if (method, key) == ("fedprox", "mu"):
        given[1] = f"--space=mu={toml(value)}:20"
    else:
        given.append(f"--set={method}.{key}={toml(value)}")
    plan, _ = plan_of(parse(given))
    return plan.cells({})


ENTRANCES = {
    "--set": lambda *given: run_cells(by_set, *given),
    "--params": lambda *given: run_cells(by_params, *given),
    "Python": lambda *given: run_cells(by_python, *given),
    "suite": in_a_suite,
    "grid": in_a_grid,
    "tuner": in_the_tuner,
}

WRONG = [
    ("task", "rounds", True, "it must be a whole number"),
    ("task", "rounds", 2.5, "it must be a whole number"),
    ("task", "lr", True, "it must be a finite number"),
    ("task", "lr", float("nan"), "it must be a finite number"),
    ("task", "lr", float("inf"), "it must be a finite number"),
    ("task", "lr", [0.1], "it must be a finite number"),
    ("task", "n_train", True, "it must be a whole number, or none"),
    ("task", "law", "clas", "unknown partition law 'clas'; did you mean 'class'?"),
    ("task", "model", "resnet8", "unknown model 'resnet8'; did you mean 'resnet18'?"),
    ("task", "batch_norm", "avrage", "Did you mean 'average'?"),
    ("task", "ruonds", 3, "unknown setting of task 'ruonds'; did you mean 'rounds'?"),
    ("task", "omega", 1.0, "task.omega is no setting: give the suite's or the command's own key"),
    ("fedprox", "mu", True, "it must be a finite number"),
    ("fedprox", "muu", 0.5, "unknown setting of fedprox 'muu'; did you mean 'mu'?"),
]


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("method, key, value, message", WRONG)
def test_a_wrong_setting_is_refused_at_every_entrance(
    entrance, method, key, value, message, tmp_path
):
    with pytest.raises(InputError) as error:
        ENTRANCES[entrance](tmp_path, method, key, value)
    assert message in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"best.toml", "own.toml"}


@pytest.mark.parametrize("entrance", ["--set", "--params", "Python", "suite"])
def test_a_setting_is_the_same_at_every_entrance(entrance, tmp_path):
    cells = ENTRANCES[entrance](tmp_path, "task", "rounds", 3.0)
    assert {repr(cell.task.rounds) for cell in cells} == {"3"}
    cells = ENTRANCES[entrance](tmp_path, "fedprox", "mu", 1)
    assert {repr(cell.config.mu) for cell in cells} == {"1.0"}


# A name that was left out or mistyped


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rounds": 2}, "rounds = 2 is in no table; .* Did you mean task.rounds?"),
        ({"ruonds": 2}, "Did you mean task.rounds?"),
        ({"lambda_d": 2}, "Did you mean mosaic.lambda_d or mosaic_feedback.lambda_d?"),
        ({"taks": {"rounds": 2}}, "unknown method 'taks'; did you mean 'task'?"),
        ([("task", 1)], "it must be one table per method"),
    ],
)
def test_the_python_api_says_what_was_meant(settings, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        open_run(request_of("heterogeneity", "quick", {"settings": settings}), dry=True)


@pytest.mark.parametrize(
    "given, message",
    [
        ("rounds=2", "is not METHOD.KEY=VALUE.* Did you mean task.rounds"),
        ("lambda_d", "is not METHOD.KEY=VALUE"),
        ("=2", "is not METHOD.KEY=VALUE"),
        ("task.=2", "is not METHOD.KEY=VALUE"),
    ],
)
def test_a_setting_without_its_method_is_explained(given, message):
    with pytest.raises(InputError, match=message):
        read_settings([given])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"threads": True}, "threads is True; it must be a whole number"),
        ({"jobs": 1.5}, "jobs is 1.5; it must be a whole number"),
        ({"force": "yes"}, "force is 'yes'; it must be true or false"),
        ({"gpu_share": float("nan")}, "gpu_share is nan"),
        ({"gpu_share": 0}, "--gpu-share is 0; it is a share of a GPU"),
        ({"device": 1}, "device is 1; it must be a text"),
        ({"out": 3}, "out is 3; it must be a path"),
        ({"omega": []}, "omega is an empty list"),
        ({"omega": True}, "omega is True"),
        ({"methods": []}, "the list of methods is an empty list"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"scale": "qick"}, "unknown option 'scale'"),
    ],
)
def test_a_wrong_option_of_the_python_api_is_explained(options, message):
    with pytest.raises(InputError, match=message):
        open_run(request_of("heterogeneity", "quick", options), dry=True)


# Which of two values counts


def test_the_last_value_counts_and_the_command_says_so(tmp_path):
    file = tmp_path / "best.toml"
    file.write_text("[task]\nrounds = 3\nlr = 0.1\n")
    given = ["task.lr=0.1", "task.rounds=4", "task.rounds=5"]
    assert read_settings(given, [file])["task"] == {"rounds": "5", "lr": "0.1"}
    assert overruled(given, [file]) == [
        f"task.rounds is given twice: 3 (--params {file}), then 4 (--set); the last one counts",
        "task.rounds is given twice: 4 (--set), then 5 (--set); the last one counts",
    ]


@pytest.mark.parametrize(
    "text, value",
    [
        ("x.y= a b ", "a b"),
        ('x.y="a"', "a"),
        ("x.y='a'", "a"),
        ("x.y=[1, 2]", [1, 2]),
        ("x.y=[1, 2,]", [1, 2]),
        ("x.y=", ""),
        ("x.y=a=b", "a=b"),
        ('x.y="a', '"a'),
        ("folder/x.py.y=1", "1"),
    ],
)
def test_a_text_of_the_command_line_is_kept_until_its_type_is_known(text, value):
    assert read_settings([text]) == {"x": {"y": value}}


GRID = """methods = []
[[method]]
name = "fedprox"
label = "prox"
grid = {mu = [0.5]}
"""


@pytest.mark.parametrize("owner", ["fedprox", "prox mu=0.5"])
def test_a_setting_that_a_grid_draws_cannot_be_set(owner, tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(HEAD + GRID)
    name, suite = read_suite(str(file))
    with pytest.raises(InputError, match=f"{owner}.mu is set, but the suite has a grid of it"):
        expand_cells(name, suite, "quick", settings={owner: {"mu": 3.0}})


def test_a_label_is_not_that_of_the_tasks_settings(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(HEAD + '[[method]]\nname = "fedprox"\nlabel = "task"\n')
    name, suite = read_suite(str(file))
    with pytest.raises(InputError, match="the label 'task'"):
        expand_cells(name, suite, "quick")


@pytest.mark.parametrize(
    "line, message",
    [
        ("widths = []", "method.0.widths is an empty list"),
        ("grid = {mu = [0.1]}\nset = {mu = 0.3}", "fedprox: mu is both in set and in grid"),
        ('tune = ["mu"]', "fedprox has settings to tune by itself; it needs a label of its own"),
        ('label = "x"\ntune = ["nu"]', "unknown setting of x that can be tuned 'nu'"),
        ('label = "x"\nset = {mu = 0.3}\ntune = ["mu"]', "x: mu is both in set and in tune"),
    ],
)
def test_an_entry_that_would_be_left_out_or_has_two_values_is_refused(line, message, written):
    with pytest.raises(InputError, match=message):
        expand_cells(*written(HEAD + f'[[method]]\nname = "fedprox"\n{line}\n'), "quick")


@pytest.mark.parametrize("name", ["methods", "datasets", "metrics"])
def test_a_name_in_the_python_api_is_a_text(name):
    with pytest.raises(InputError, match=f"{name} has 3"):
        request_of("heterogeneity", "quick", {name: 3})


@pytest.mark.parametrize("table", ["[task]\nmodel =", "[scale.quick]\ntask.model ="])
def test_a_suite_names_a_file_of_a_model_beside_it_for_all_scales_or_one(
    table, tmp_path, no_methods_left
):
    (tmp_path / "net.py").write_text(LINEAR_MODEL)
    file = tmp_path / "own.toml"
    file.write_text(HEAD + f'methods = ["local"]\n{table} "net.py"\n')
    request = request_of(str(file), "quick", {"out": tmp_path / "out", "device": "cpu"})
    names = {cell.task.model for cell in open_run(request, dry=True).cells}
    assert [name.partition("-")[0] for name in names] == ["net"]
    MODELS.pop(*names)


@pytest.mark.parametrize(
    "task, message",
    [
        ("round = 3", "unknown setting of scale.laptop.task 'round'; did you mean 'rounds'"),
        ("rounds = true", "scale.laptop.task.rounds is True; it must be a whole number"),
        ("omega = 1", "scale.laptop.task.omega is no setting: give the suite's or"),
    ],
)
def test_a_wrong_setting_of_another_scale_is_found(task, message, written):
    suite = written(HEAD + f'methods = ["local"]\n[scale.laptop]\ntask = {{ {task} }}\n')
    with pytest.raises(InputError, match=message):
        expand_cells(*suite, "quick")
