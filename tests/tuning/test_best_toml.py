"""best.toml is complete: given back with its options, it has the trial's own cells and number."""

import shlex
import tomllib
from pathlib import Path

import optuna
import pytest
from helpers import LINEAR_MODEL
from optuna.distributions import CategoricalDistribution
from oracle import ON_CPU, study_folder

from benchmarks import run, tune
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.settings import read_params, read_settings
from benchmarks.planning.suite import read_suite
from benchmarks.planning.toml_files import toml_of
from benchmarks.running.suite_run import SuiteRun
from benchmarks.tuning.make_plan import plan_of, with_checked_data
from benchmarks.tuning.options import parse
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.report import best_toml
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.validation import validate
from mosaic.fl.cache import use_cache
from mosaic.fl.errors import InputError

EXAMPLE = Path(__file__).parents[2] / "examples" / "fedavgm.py"

pytestmark = pytest.mark.usefixtures("no_methods_left")


def plan_for(out: Path, *given: str) -> Plan:
    plan, _ = plan_of(parse([*ON_CPU, "--study=s", "--out", str(out), *given]))
    return plan


def given_back(text: str, folder: Path, monkeypatch) -> SuiteRun:
    """The run of the command in the last comment of best.toml, on its own folder."""
    (folder / "best.toml").write_text(text)
    [command] = [line for line in text.splitlines() if "python -m benchmarks.run" in line]
    options = shlex.split(command.split("benchmarks.run ")[1])
    monkeypatch.chdir(folder)

    opened = []

    def remember(request, dry=False):
        opened.append(open_run(request, dry))
        return opened[0]

    from benchmarks.running.suite_run import open_run

    monkeypatch.setattr("benchmarks.running.suite_run.open_run", remember)
    assert run.main([*options, "--jobs=1", "--device=cpu", "--dry-run"]) == 0
    return opened[0]


TASK = ["--set=task.rounds=3", "--set=task.lr=0.125", "--set=task.validation=0.2"]

COMMANDS = {
    "the task's settings": ["--method=fedprox", *TASK],
    "another precision, number of clients and omega": [
        "--method=fedprox",
        "--precision=bf16",
        "--clients=4",
        "--omega=0.3333333333333333",
    ],
    "infinite omega and widths": ["--method=fedprox", "--omega=inf", "--widths=1,0.5"],
    "a variant of the method": [
        "--method=mosaic",
        "--set=mosaic.generator=cvae",
        "--set=mosaic.teacher=source",
        "--set=task.n_train=500",
    ],
    "steps that the scale multiplies": ["--method=dense", "--space=epochs=2:9", *TASK],
    "a method from a file": [f"--method={EXAMPLE}", *TASK],
    "threads and the law": ["--method=fedprox", "--threads=2", "--set=task.law=client"],
    "nothing where the default is none": ["--method=fedprox", "--set=task.n_train=none"],
}


def check_given_back(plan: Plan, tmp_path: Path, monkeypatch) -> None:
    params = plan.first() | {key: values(plan)[key] for key in plan.space}
    value = [0.5] * len(plan.objectives)
    trial = optuna.trial.create_trial(params=params, distributions=dict(plan.space), values=value)
    again = given_back(best_toml(trial, plan), tmp_path, monkeypatch)

    settings = again.request.settings
    cells = expand_cells(
        *read_suite("heterogeneity"),
        plan.scale,
        methods=[plan.method],
        datasets=[plan.dataset],
        omega=again.request.omega,
        clients=again.request.clients,
        widths=again.request.widths,
        seeds=list(plan.seeds),
        settings=settings | {"task": settings.get("task", {}) | model_of(again)},
        precision=again.request.precision,
        threads=again.request.threads,
    )
    assert [cell.key for cell in cells] == [cell.key for cell in plan.cells(params)]


def model_of(again: SuiteRun) -> dict[str, str]:
    """The model's name, where best.toml has its file."""
    if "model" not in again.request.settings.get("task", {}):
        return {}
    return {"model": again.cells[0].task.model}


def values(plan: Plan) -> dict:
    """A point of the space whose floats have many digits."""
    point = {}
    for key, distribution in plan.space.items():
        if isinstance(distribution, CategoricalDistribution):
            point[key] = distribution.choices[-1]
            continue
        low = distribution.low
        point[key] = low + (distribution.high - low) / 3 if isinstance(low, float) else low
    return point


@pytest.mark.parametrize("name", COMMANDS)
def test_given_back_it_has_the_trials_own_cells(name, tmp_path, monkeypatch):
    check_given_back(plan_for(tmp_path, *COMMANDS[name]), tmp_path, monkeypatch)


def test_given_back_it_has_the_trials_model_and_data_from_files(tmp_path, monkeypatch):
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)
    arrays = {
        "train_images": images[:1200],
        "train_labels": digits.target[:1200],
        "test_images": images[1200:],
        "test_labels": digits.target[1200:],
    }
    np.savez(tmp_path / "my digits.npz", **arrays)
    (tmp_path / "linear.py").write_text(LINEAR_MODEL.lstrip())
    monkeypatch.chdir(tmp_path)
    plan = plan_for(
        tmp_path,
        "--method=fedprox",
        "--dataset=my digits.npz",
        "--set=task.model=linear.py",
    )
    assert plan.cells({})[0].task.model.startswith("linear-")
    check_given_back(plan, tmp_path, monkeypatch)


@pytest.mark.slow
def test_given_back_it_has_the_trials_own_number_to_the_last_bit(tmp_path):
    given = [
        *ON_CPU,
        "--method=fedprox",
        "--dataset=digits",
        "--clients=3",
        "--study=s",
        "--trials=2",
        "--seeds=2",
        "--stability-seeds=0",
        *TASK,
        "--set=task.steps=3",
        "--set=task.base_width=4",
        f"--out={tmp_path}",
    ]
    assert tune.main(given) == 0
    plan, _ = plan_of(parse(given))
    study = open_study(with_checked_data(plan))

    cells = expand_cells(
        *read_suite("heterogeneity"),
        "quick",
        methods=["fedprox"],
        omega=[0.1],
        clients=[3],
        widths=["full"],
        seeds=[1000, 1001],
        settings=read_settings([], [study_folder(tmp_path) / "best.toml"]),
    )
    use_cache(None)
    accuracies = [validate(cell, with_fidelity=False)["accuracy"] for cell in cells]
    assert sum(accuracies) / 2 == study.best_value


def test_a_file_that_was_cut_after_any_line_is_noticed(tmp_path):
    plan = plan_for(tmp_path, "--method=fedprox", "--set=task.lr=0.1")
    trial = optuna.create_trial(params=plan.default(), distributions=dict(plan.space), value=0.5)
    lines = best_toml(trial, plan).splitlines(keepends=True)
    file = tmp_path / "best.toml"
    file.write_text("".join(lines))
    assert read_params(file)["task"] == {"lr": 0.1}
    first = next(i for i, line in enumerate(lines) if line.startswith("["))
    for n in range(first, len(lines)):
        file.write_text("".join(lines[:n]))
        with pytest.raises(InputError, match="best.toml is cut short"):
            read_params(file)


def test_a_model_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="unknown model 'resnet8'; did you mean 'resnet18'"):
        plan_for(tmp_path, "--method=fedprox", "--set=task.model=resnet8")


def test_any_text_any_list_and_any_name_is_valid_toml():
    values = {"text": 'é"\\\x7f\n😀', "list": (1, 0.5, True), "far": float("inf"), "no": None}
    tables = {"my method": values, "task": {"lr": 1e-05}}
    read = tomllib.loads(toml_of(tables, ["two\nlines"]))
    del values["no"]
    assert read == {"my method": values | {"list": [1, 0.5, True]}, "task": {"lr": 1e-05}}
