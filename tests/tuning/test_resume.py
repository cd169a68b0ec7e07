"""No trial is lost: processes die, and the study ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState
from oracle import COMMON, ORACLE, params, plan, study_folder, table, tuned

from benchmarks.tuning import retries, studies
from benchmarks.tuning.trials import work

# The command in a process of its own. The oracle is among the methods there, and in the processes
# that it starts, because they import the same script.
DRIVER = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]
import oracle
oracle.METHODS["oracle"] = oracle.ORACLE
import benchmarks.tuning.report as report
report.write_figures = lambda *given: []
if __name__ == "__main__":
    from benchmarks.tune import main
    sys.exit(main())
"""


@pytest.fixture
def driver(tmp_path) -> Path:
    path = tmp_path / "driver.py"
    path.write_text(DRIVER)
    return path


def start(driver: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, str(driver), *COMMON, "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    until = time.time() + seconds
    while not condition():
        assert time.time() < until, "waited in vain"
        time.sleep(0.02)


def n_finished(out: Path) -> int:
    """Number of finished trials in the journal, which may not exist yet."""
    journal = study_folder(out) / "journal.log"
    return journal.read_text().count('"state":1') if journal.exists() else 0


def ignore(process: str, doing: str) -> None:
    pass


@pytest.mark.slow
def test_two_commands_on_one_study_share_its_trials(driver, tmp_path):
    options = ["--trials", "12", "--set", "oracle.nap=0.05"]
    commands = [start(driver, tmp_path, *options) for _ in range(2)]
    printed = [command.communicate(timeout=240)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], printed
    rows = table(tmp_path)
    assert len(rows) == 12 and set(rows["state"]) == {"complete"}
    assert len(set(params(tmp_path))) == 12
    study = studies.open_study(plan(tmp_path, *options))
    assert len({trial.user_attrs["process"]["pid"] for trial in study.get_trials()}) == 2


@pytest.mark.slow
def test_jobs_are_processes_and_one_that_is_killed_is_replaced(driver, tmp_path):
    options = ["--trials", "6", "--jobs", "2", "--set", "oracle.nap=0.5"]
    command = start(driver, tmp_path, *options)
    wait_for(lambda: n_finished(tmp_path) >= 1)
    study = studies.open_study(plan(tmp_path, *options))

    def running() -> list[FrozenTrial]:
        trials = study.get_trials(states=[TrialState.RUNNING])
        return [trial for trial in trials if "process" in trial.user_attrs]

    # The trial takes a second, and to kill its process some hundredths.
    wait_for(running)
    killed = running()[-1]
    os.kill(killed.user_attrs["process"]["pid"], signal.SIGKILL)
    printed, _ = command.communicate(timeout=240)
    assert command.returncode == 0 and "a process was killed" in printed, printed

    rows = table(tmp_path)
    assert (rows["state"] == "complete").sum() == 6, printed
    (lost,) = rows[rows["state"] == "fail"].itertuples()
    assert "died; tried again" in lost.reason and lost.trial == killed.number
    again = rows[rows["retry_of"] == lost.trial]
    assert again["param.a"].tolist() == [rows.loc[lost.Index, "param.a"]]


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_as_if_it_had_not_been_killed(driver, tmp_path):
    options = ["--trials", "13", "--set", "oracle.nap=0.1"]
    assert tuned(tmp_path / "whole", *options) == 0
    command = start(driver, tmp_path / "killed", *options)
    wait_for(lambda: n_finished(tmp_path / "killed") >= 3)
    command.send_signal(signal.SIGKILL)
    command.communicate()
    assert 3 <= n_finished(tmp_path / "killed") < 13

    assert tuned(tmp_path / "killed", *options) == 0
    rows = table(tmp_path / "killed")
    assert "running" not in set(rows["state"]) and (rows["state"] == "complete").sum() == 13
    assert params(tmp_path / "killed") == params(tmp_path / "whole")


def test_a_trial_that_died_while_its_values_were_drawn_is_drawn_again(tmp_path):
    drawn = []
    for folder in ("whole", "killed"):
        two_trials = plan(tmp_path / folder, "--trials", "2")
        study = studies.open_study(two_trials)
        study.tell(studies.claim(study, two_trials), 0.5)
        if folder == "killed":
            study.ask().suggest_float("a", -5, 5)  # its process ends here, without a value of b
        drawn.append(studies.claim(study, two_trials).params)
    assert drawn[0] == drawn[1]


def test_a_trial_is_not_to_blame_when_its_command_was_stopped_as_often_as_one_likes(tmp_path):
    two_trials = plan(tmp_path, "--trials", "2")
    study = studies.open_study(two_trials)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for _ in range(2 * retries.ATTEMPTS):
        trial = studies.claim(study, two_trials)
        assert trial.params == {"a": 0, "b": 1}
        process = trial.user_attrs["process"] | {"pid": ended.pid}
        trial.set_user_attr("process", process | {"command": process})

    assert tuned(tmp_path, "--trials", "2") == 0
    assert table(tmp_path)["state"].tolist() == ["fail"] * 2 * retries.ATTEMPTS + ["complete"] * 2
    assert len(params(tmp_path)) == 2


def test_a_trial_is_given_back_once_also_if_that_was_interrupted(tmp_path, monkeypatch):
    two_trials = plan(tmp_path, "--trials", "2")
    study = studies.open_study(two_trials)
    first = studies.claim(study, two_trials)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(study, "tell", interrupt)  # the last step of giving it back
        with pytest.raises(KeyboardInterrupt):
            retries.release(study, two_trials, first.number, "it was interrupted")
    retries.release(study, two_trials, first.number, "it was interrupted")
    waiting = study.get_trials(states=[TrialState.WAITING])
    assert [trial.user_attrs["retry_of"] for trial in waiting] == [first.number]


def test_a_trial_whose_process_died_is_tried_again_but_not_for_ever(tmp_path):
    two_trials = plan(tmp_path, "--trials", "2")
    study = studies.open_study(two_trials)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for attempt in range(1, retries.ATTEMPTS + 1):
        trial = studies.claim(study, two_trials)
        assert trial.params == {"a": 0, "b": 1}
        assert trial.user_attrs.get("attempt", 1) == attempt
        trial.set_user_attr("process", trial.user_attrs["process"] | {"pid": ended.pid})

    assert tuned(tmp_path, "--trials", "2") == 0
    rows = table(tmp_path)
    assert rows["state"].tolist() == ["fail"] * retries.ATTEMPTS + ["complete"]
    tried_again = ["tried again" in reason for reason in rows["reason"][:3]]
    assert tried_again == [True, True, False]


def test_a_trial_of_a_living_process_is_left_alone(tmp_path):
    two_trials = plan(tmp_path, "--trials", "2")
    study = studies.open_study(two_trials)
    first = studies.claim(study, two_trials)
    assert studies.claim(study, two_trials).number == 1
    assert studies.claim(study, two_trials) is None
    assert study.get_trials()[first.number].state == TrialState.RUNNING


def test_an_interrupted_trial_is_given_back(tmp_path, monkeypatch):
    two_trials = plan(tmp_path, "--trials", "2")
    study = studies.open_study(two_trials)

    def interrupt(task, config):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ORACLE, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            work(study, two_trials, ignore)
    work(study, two_trials, ignore)

    trials = study.get_trials()
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert trials[1].params == {"a": 0, "b": 1}
    assert trials[1].user_attrs["default"]


def test_a_failing_trial_is_recorded_and_the_others_go_on(tmp_path):
    grid = ["--sampler=grid", "--points=3", "--trials=20"]
    assert tuned(tmp_path, *grid, "--set=oracle.breaks_above=1") == 0
    rows = table(tmp_path)
    broken = rows["param.a"] > 1
    assert len(rows) == 10 and broken.sum() == 3
    assert set(rows[broken]["state"]) == {"fail"}
    assert set(rows[broken]["reason"]) == {"FloatingPointError: a is too large"}
    assert set(rows[~broken]["state"]) == {"complete"}


def test_a_study_whose_trials_all_fail_exits_with_1(tmp_path):
    assert tuned(tmp_path, "--trials=3", "--set=oracle.breaks_above=-9") == 1


def test_a_study_whose_trials_are_not_all_there_is_not_finished(tmp_path, monkeypatch, capsys):
    """As where processes died more often than they are replaced."""

    def run_one(study, plan, jobs, options):
        work(study, replace(plan, trials=1), lambda *_: None)

    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.tuning.run_trials.run_trials", run_one)
        assert tuned(tmp_path, "--trials=2") == 1
        assert "1 of 2 trials are missing" in " ".join(capsys.readouterr().out.split())
    assert tuned(tmp_path, "--trials=2") == 0
