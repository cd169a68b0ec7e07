"""--all: every method of a suite is tuned by one rule, and the scale reads what was found."""

import dataclasses
import itertools
import json
import math
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from oracle import ON_CPU, ORACLE, Config
from oracle import run as run_oracle

from benchmarks import tune
from benchmarks.planning import tuned
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import METHODS, tunable_of
from benchmarks.planning.suite import Entry, Suite
from benchmarks.tuning.all_plans import plans_of_all, targets_of
from benchmarks.tuning.options import parse
from benchmarks.tuning.sobol import sobol_point, value_at
from benchmarks.tuning.space import space_of
from mosaic.fl.errors import InputError

SUITE = """
question = "Which oracle?"
omega = [1.0]
clients = [2]
methods = ["fedavg", "oracle", "seer"]
"""


def failing(task, config):
    raise ValueError("the seer is blind")
    yield


@pytest.fixture
def all_of(tmp_path, monkeypatch):
    """The command on a suite of two oracles and FedAvg, whose tuned files are in ``tuned/``."""
    seer = SimpleNamespace(**{**vars(ORACLE), "SPACE": {"a": (-5.0, 5.0)}})
    monkeypatch.setitem(METHODS, "seer", seer)
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "tuned")
    tuned._read.cache_clear()
    suite = tmp_path / "two.toml"
    suite.write_text(SUITE)

    def command(*more: str, trials: int = 4) -> int:
        given = ["--all", f"--suite={suite}", "--clients=2", f"--trials={trials}", *ON_CPU]
        return tune.main([*given, "--out", str(tmp_path), *more])

    yield command
    tuned._read.cache_clear()


def written(folder) -> dict:
    return tomllib.loads((folder / "tuned" / "quick" / "digits.toml").read_text())


def test_each_method_gets_the_same_trials_and_the_best_is_written(all_of, tmp_path, capsys):
    assert all_of() == 0
    rows = pd.read_csv(tmp_path / "tuning" / "all-quick-digits" / "trials.csv")
    assert rows.groupby("method")["trial"].apply(list).to_dict() == {
        "oracle": [0, 1, 2, 3],
        "seer": [0, 1, 2, 3],
    }
    assert rows.loc[rows["default"], "trial"].tolist() == [0, 0]
    parts = [f"accuracy.{seed}.{omega}" for seed in (1000, 1001) for omega in (0.1, 0.01)]
    assert rows[parts].mean(axis=1).tolist() == pytest.approx(rows["accuracy"].tolist())

    found = written(tmp_path)
    assert found["study"]["seeds"] == [1000, 1001] and found["study"]["omegas"] == [0.1, 0.01]
    assert found["study"]["trials"] == 4 and found["study"]["missing"] == []
    for method, of_method in rows.groupby("method"):
        best = of_method.loc[of_method["accuracy"].idxmax()]
        assert found["settings"][method] == json.loads(best["settings"])
        assert found["validation"][method]["best"] == best["accuracy"]
        assert found["validation"][method]["default"] <= best["accuracy"]
    assert "nothing to tune: fedavg" in capsys.readouterr().out

    # The same command again has nothing to do, and writes the same.
    before = (tmp_path / "tuned" / "quick" / "digits.toml").read_bytes()
    assert all_of() == 0
    assert (tmp_path / "tuned" / "quick" / "digits.toml").read_bytes() == before

    # With other points it would be another study.
    assert all_of("--hold=3") == 2
    assert "points is sobol, --hold 2" in " ".join(capsys.readouterr().err.split())


def test_an_entry_with_settings_to_tune_has_a_study_of_its_own(all_of, tmp_path):
    """Its own settings are fixed; trial 0 has the papers' value of what is tuned."""
    own = '[[method]]\nname = "oracle"\nlabel = "oracle-2"\nset = { b = 2.0 }\ntune = ["a"]\n'
    (tmp_path / "two.toml").write_text(SUITE + own)
    assert all_of(trials=2) == 0
    rows = pd.read_csv(tmp_path / "tuning" / "all-quick-digits" / "trials.csv")
    assert set(rows["method"]) == {"oracle", "oracle-2", "seer"}
    of_entry = rows[rows["method"] == "oracle-2"]
    settings = [json.loads(text) for text in of_entry["settings"]]
    assert [set(values) for values in settings] == [{"a"}, {"a"}] and settings[0]["a"] == 0
    best = of_entry.loc[of_entry["accuracy"].idxmax()]
    assert written(tmp_path)["settings"]["oracle-2"] == json.loads(best["settings"])

    # One of its own is run anew alone
    assert all_of("--methods=oracle-2", trials=2) == 0


def test_two_suites_may_not_tune_different_entries_of_one_label(tmp_path):
    for name, b in (("one", 1.0), ("other", 2.0)):
        own = f'[[method]]\nname = "oracle"\nlabel = "x"\nset = {{ b = {b} }}\ntune = ["a"]\n'
        (tmp_path / f"{name}.toml").write_text(SUITE.replace(', "seer"', "") + own)
    with pytest.raises(InputError, match="the entry x with different settings"):
        targets_of(f"{tmp_path / 'one.toml'},{tmp_path / 'other.toml'}")


def test_a_part_of_the_methods_is_not_the_scales_file_until_the_others_are_there(all_of, tmp_path):
    assert all_of("--methods=seer", trials=2) == 0
    assert not (tmp_path / "tuned").exists()
    part = tmp_path / "tuning" / "all-quick-digits" / "tuned.toml"
    assert tomllib.loads(part.read_text())["study"]["missing"] == ["oracle"]
    assert all_of("--methods=oracle", trials=2) == 0
    assert set(written(tmp_path)["settings"]) == {"oracle", "seer"}


def test_a_method_that_fails_leaves_the_others_and_the_exit_code_is_1(
    all_of, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(METHODS["seer"], "run", failing)
    assert all_of(trials=2) == 1
    found = written(tmp_path)
    assert set(found["settings"]) == {"oracle"} and found["study"]["missing"] == ["seer"]
    assert "the seer is blind" in capsys.readouterr().out


def test_a_task_that_was_set_is_not_the_scales(all_of, tmp_path):
    assert all_of("--set=task.rounds=1", "--methods=seer,oracle", trials=1) == 0
    assert not (tmp_path / "tuned").exists()


def test_trial_0_has_the_papers_values_whatever_was_tuned_before(all_of, tmp_path):
    assert all_of() == 0
    tuned._read.cache_clear()
    assert written(tmp_path)["settings"]["seer"]["a"] != 0
    suite = Suite(question="", omega=[0.1], clients=[2], method=[Entry(name="seer")])
    [cell, *_] = expand_cells("s", suite, "quick")
    assert cell.config.a == written(tmp_path)["settings"]["seer"]["a"]

    options = ["--all", f"--suite={tmp_path / 'two.toml'}", "--out", str(tmp_path / "new"), *ON_CPU]
    plans, _, _ = plans_of_all(parse(options))
    assert [plan.first() for plan in plans] == [{"a": 0.0, "b": 1.0}, {"a": 0.0}]


def test_methods_with_equally_many_settings_get_the_same_points_and_costly_ones_are_held(tmp_path):
    options = ["--all", "--suite=heterogeneity", "--out", str(tmp_path), *ON_CPU]
    plans, _, _ = plans_of_all(parse(options))
    by_method = {plan.method: plan for plan in plans}
    assert by_method["fedcvae"].costly == ("cvae_lr",) and by_method["mosaic"].hold == 2

    points = [sobol_point(by_method["fedcvae"], i) for i in range(8)]
    held = [point["cvae_lr"] for point in points]
    assert held[0::2] == held[1::2] and len(set(held)) == 4
    assert held[0] == 1e-3 and points[0]["classifier_lr"] == 1e-3
    assert len({point["classifier_lr"] for point in points}) == 8

    # By hand: mu in [1e-3, 1] and lr in [1e-5, 1e-2] have equal logarithmic lengths.
    mu = [sobol_point(by_method["fedprox"], i)["mu"] for i in range(1, 8)]
    lr = [sobol_point(by_method["feddf"], i)["lr"] for i in range(1, 8)]
    assert [100 * value for value in lr] == pytest.approx(mu, rel=0.01)
    # One of the first eight points of the sequence lies in each eighth of the range
    eighths = {int(8 * (1 + math.log10(value) / 3)) for value in mu}
    assert len(eighths) == 7


@pytest.mark.parametrize("trials", [4, 8])
def test_where_all_settings_are_choices_each_combination_is_tried(trials):
    """Evenly spread points may leave one out. More trials begin with the same ones."""
    given = ["--all", "--scale=quick", f"--trials={trials}", "--methods=mosaic_feedback", *ON_CPU]
    _, (plan,), _ = plans_of_all(parse(given))
    assert list(plan.space) == ["generator", "mix"]

    points = [tuple(sobol_point(plan, i).values()) for i in range(8)]
    assert points[0] == ("flow", "half") and points[:4] == points[4:]
    assert set(points) == set(itertools.product(["flow", "cvae"], ["half", "complement"]))
    assert points[:4] == [tuple(sobol_point(plan, i).values()) for i in range(4)]


def test_a_share_of_a_distribution_is_the_value_below_which_it_lies():
    space = space_of("mosaic") | space_of("fens")
    assert value_at(space["meta"], 0.0) == "linear" and value_at(space["meta"], 0.99) == "ridge"
    assert value_at(space["server_lr"], 0.5) == pytest.approx(10**-2.5, rel=0.01)
    assert value_at(space["weight_hard"], 0.25) == 0.25
    draws = space_of("oracle", ["draw=0:3"])["draw"]
    assert [value_at(draws, share) for share in (0, 0.26, 0.51, 0.99)] == [0, 1, 2, 3]


WRONG = {
    "--all --method mosaic": "--method is for the study of one method; with --all leave it out",
    "--all --sampler tpe": "--sampler is for the study of one method",
    "--all --storage sqlite:///x.db": "--storage is for the study of one method",
    "--all --seeds 0,1": "seed 0 is a reporting seed",
    "--all --suite oneshop": "did you mean 'oneshot'",
    "--all --methods fedporx": "did you mean 'fedprox'",
    "--all --set fedprox.mu=1": "with --all --set is for the task; fedprox was given",
    "--all --omega 0.1,0.1": "0.1",
    "--suite heterogeneity": "--suite goes with --all",
    "--methods mosaic": "--methods goes with --all",
    "--omega 0.1,0.01": "a method's own study has one value",
}


@pytest.mark.parametrize("given", WRONG)
def test_a_wrong_command_is_explained_and_exits_with_2(given, tmp_path, capsys):
    assert tune.main([*given.split(), *ON_CPU, "--out", str(tmp_path)]) == 2
    assert WRONG[given] in " ".join(capsys.readouterr().err.split())


# What the methods declare


HAS_NOTHING_TO_TUNE = {
    "local",
    "fedavg",
    "fedbn",
    "scaffold",
    "heterofl",
    "fedrolex",
    "ensemble",
    "prototype_head",
    "centralised",
}


def test_every_method_with_a_rate_or_a_weight_of_its_own_is_tuned():
    for name, module in METHODS.items():
        if name in ("oracle",):
            continue
        assert bool(tunable_of(module)) == (name not in HAS_NOTHING_TO_TUNE), name
        fields = {field.name for field in dataclasses.fields(module.Config)}
        assert set(tunable_of(module)) <= fields and len(tunable_of(module)) <= 3


def test_a_method_without_TUNED_is_tuned_over_the_first_of_its_space():
    oracle: Any = ORACLE
    assert tunable_of(oracle) == ("a", "b")
    module: Any = SimpleNamespace(
        SPACE=dict.fromkeys("vwxyz", (0, 1)), Config=Config, run=run_oracle
    )
    assert tunable_of(module) == ("v", "w", "x")


# Killed, and started again

DRIVER = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
import oracle
from pathlib import Path
from types import SimpleNamespace
from benchmarks.planning import tuned
tuned.FOLDER = Path({folder!r})
def slow(task, config):
    time.sleep(0.2)
    yield from oracle.run(task, config)
seer = {{"SPACE": {{"a": (-5.0, 5.0)}}, "run": slow}}
oracle.METHODS["oracle"] = SimpleNamespace(**(vars(oracle.ORACLE) | {{"run": slow}}))
oracle.METHODS["seer"] = SimpleNamespace(**(vars(oracle.ORACLE) | seer))
if __name__ == "__main__":
    from benchmarks.tune import main
    sys.exit(main())
"""


@pytest.mark.slow
def test_a_killed_command_goes_on_and_gives_what_one_process_gives(all_of, tmp_path):
    assert all_of(trials=3) == 0
    whole = (tmp_path / "tuning" / "all-quick-digits" / "trials.csv").read_text()
    command_line = written(tmp_path)["study"]["command"]

    driver = tmp_path / "driver.py"
    here = Path(__file__).parent
    folder = tmp_path / "again" / "tuned"
    driver.write_text(DRIVER.format(tests=str(here), root=str(here.parents[1]), folder=str(folder)))
    given = ["--all", f"--suite={tmp_path / 'two.toml'}", "--clients=2", "--trials=3", *ON_CPU]
    given += ["--jobs=2", "--out", str(tmp_path / "again")]
    command = [sys.executable, str(driver), *given]
    study = tmp_path / "again" / "tuning" / "all-quick-digits"

    def n_finished() -> int:
        return sum(path.read_text().count('"state":1') for path in study.glob("*/journal.log"))

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.time() + 120
    while n_finished() < 2:
        assert time.time() < until and process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert n_finished() < 6 and not folder.exists()

    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (study / "trials.csv").read_text() == whole
    found = tomllib.loads((folder / "quick" / "digits.toml").read_text())
    assert found["study"]["command"] == command_line


def test_the_tracebacks_of_files_that_cannot_be_written_are_kept(all_of, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no table")

    monkeypatch.setattr("benchmarks.tuning.all_command.table_of_all", broken)
    assert all_of("--methods=seer", trials=1) == 1
    kept = tmp_path / "tuning" / "all-quick-digits" / "report.failed.txt"
    assert "RuntimeError: no table" in kept.read_text()
