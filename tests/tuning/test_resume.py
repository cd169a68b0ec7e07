"""The tuner loses no trial: processes die, journals are damaged, and the study ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from oracle import COMMON, ORACLE, params, plan, table, tuned

from benchmarks.planning.methods import METHODS
from benchmarks.tuning import studies
from benchmarks.tuning.trials import work

# A command of its own, with the stand-in among the methods there and in the processes that it starts
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


def started(driver: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, str(driver), *COMMON, "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(what, seconds: float = 120) -> None:
    until = time.time() + seconds
    while not what():
        assert time.time() < until, "waited in vain"
        time.sleep(0.02)


def n_finished(out: Path) -> int:
    journal = out / "tuning" / "s" / "journal.log"
    return journal.read_text().count('"state":1') if journal.exists() else 0


@pytest.mark.slow
def test_two_commands_on_one_study_share_its_trials(driver, tmp_path):
    both = [
        started(driver, tmp_path, "--trials", "12", "--set", "oracle.nap=0.05") for _ in range(2)
    ]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    rows = table(tmp_path)
    assert len(rows) == 12 and set(rows["state"]) == {"complete"}
    assert len(set(params(tmp_path))) == 12
    study = studies.open_study(plan(tmp_path, "--trials", "12", "--set", "oracle.nap=0.05"))
    assert len({trial.user_attrs["process"]["pid"] for trial in study.get_trials()}) == 2


@pytest.mark.slow
def test_jobs_are_processes_and_one_that_is_killed_is_replaced(driver, tmp_path):
    more = ["--trials", "6", "--jobs", "2", "--set", "oracle.nap=0.5"]
    command = started(driver, tmp_path, *more)
    wait_for(lambda: n_finished(tmp_path) >= 1)
    study = studies.open_study(plan(tmp_path, *more))
    begun = lambda: [
        t for t in study.get_trials(states=[TrialState.RUNNING]) if "process" in t.user_attrs
    ]  # noqa: E731
    wait_for(begun)
    running = begun()[-1]  # it takes a second; this, some hundredths
    os.kill(running.user_attrs["process"]["pid"], signal.SIGKILL)
    said, _ = command.communicate(timeout=240)
    assert command.returncode == 0 and "a process died" in said, said
    rows = table(tmp_path)
    assert (rows["state"] == "complete").sum() == 6, said
    (lost,) = rows[rows["state"] == "fail"].itertuples()
    assert "died; tried again" in lost.reason and lost.trial == running.number
    again = rows[rows["retry_of"] == lost.trial]
    assert again["param.a"].tolist() == [rows.loc[lost.Index, "param.a"]]


def test_a_killed_study_goes_on_and_ends_as_if_it_had_not_been_killed(driver, tmp_path):
    nap = ["--set", "oracle.nap=0.1"]
    assert tuned(tmp_path / "whole", "--trials", "13", *nap) == 0
    killed = started(driver, tmp_path / "killed", "--trials", "13", *nap)
    wait_for(lambda: n_finished(tmp_path / "killed") >= 3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert 3 <= n_finished(tmp_path / "killed") < 13
    assert tuned(tmp_path / "killed", "--trials", "13", *nap) == 0
    rows = table(tmp_path / "killed")
    assert "running" not in set(rows["state"]) and (rows["state"] == "complete").sum() == 13
    assert params(tmp_path / "killed") == params(tmp_path / "whole")


def test_a_trial_that_died_while_its_values_were_drawn_is_drawn_again(tmp_path):
    drawn = []
    for folder in ("whole", "killed"):
        own = plan(tmp_path / folder, "--trials", "2")
        study = studies.open_study(own)
        study.tell(studies.claim(study, own), 0.5)
        if folder == "killed":
            study.ask().suggest_float("a", -5, 5)  # and then its process was no more
        drawn.append(studies.claim(study, own).params)
    assert drawn[0] == drawn[1]


def test_ctrl_c_ends_after_the_running_trial_and_writes_the_reports(driver, tmp_path):
    command = started(driver, tmp_path, "--trials", "50", "--set", "oracle.nap=0.2")
    wait_for(lambda: n_finished(tmp_path) >= 2)
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=120)
    assert command.returncode == 130 and "goes on from here" in said, said
    rows = table(tmp_path)
    assert 2 <= len(rows) < 50 and set(rows["state"]) == {"complete"}
    assert (tmp_path / "tuning" / "s" / "best.toml").exists()


def test_a_trial_whose_process_is_gone_is_failed_and_tried_again_but_not_for_ever(tmp_path):
    here = plan(tmp_path, "--trials", "2")
    study = studies.open_study(here)
    gone = subprocess.Popen(["true"])
    gone.wait()
    for attempt in range(1, studies.ATTEMPTS + 1):
        trial = studies.claim(study, here)
        assert trial.params == {"a": 0, "b": 1} and trial.user_attrs.get("attempt", 1) == attempt
        trial.set_user_attr("process", trial.user_attrs["process"] | {"pid": gone.pid})
    assert tuned(tmp_path, "--trials", "2") == 0
    rows = table(tmp_path)
    assert rows["state"].tolist() == ["fail"] * studies.ATTEMPTS + ["complete"]
    assert [("tried again" in reason) for reason in rows["reason"][:3]] == [True, True, False]


def test_a_trial_of_a_living_process_is_left_alone(tmp_path):
    here = plan(tmp_path, "--trials", "2")
    study = studies.open_study(here)
    mine = studies.claim(study, here)
    assert studies.claim(study, here).number == 1 and studies.claim(study, here) is None
    assert study.get_trials()[mine.number].state == TrialState.RUNNING


def test_an_interrupted_trial_is_given_back(tmp_path, monkeypatch):
    here = plan(tmp_path, "--trials", "2")
    study = studies.open_study(here)

    def interrupt(task, config):
        raise KeyboardInterrupt

    monkeypatch.setattr(ORACLE, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        work(study, here, lambda: False, lambda *said: None)
    monkeypatch.undo()
    METHODS["oracle"] = ORACLE
    try:
        work(study, here, lambda: False, lambda *said: None)
    finally:
        del METHODS["oracle"]
    assert [trial.state.name for trial in study.get_trials()] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert (
        study.get_trials()[1].params == {"a": 0, "b": 1}
        and study.get_trials()[1].user_attrs["default"]
    )


def test_a_failing_trial_is_recorded_and_stops_no_other(tmp_path):
    more = [
        "--sampler",
        "grid",
        "--points",
        "3",
        "--trials",
        "20",
        "--set",
        "oracle.breaks_above=1",
    ]
    assert tuned(tmp_path, *more) == 0
    rows = table(tmp_path)
    broken = rows[rows["param.a"] > 1]
    assert len(rows) == 10 and len(broken) == 3
    assert set(broken["state"]) == {"fail"} and set(broken["reason"]) == {
        "FloatingPointError: a is too large"
    }
    assert set(rows[rows["param.a"] <= 1]["state"]) == {"complete"}
    assert tuned(tmp_path, "--study", "none", *more[:-1], "oracle.breaks_above=-9") == 1


@pytest.mark.parametrize("harm", ["torn tail", "middle", "creation", "first line"])
def test_of_a_damaged_journal_the_readable_rest_is_kept(harm, tmp_path, capsys):
    assert tuned(tmp_path, "--trials", "5") == 0
    before = table(tmp_path)
    journal = tmp_path / "tuning" / "s" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    creations = [i for i, line in enumerate(lines) if b'"op_code":4,' in line]
    hit = {
        "torn tail": len(lines),
        "middle": creations[2] + 1,
        "creation": creations[2],
        "first line": 0,
    }[harm]
    if harm == "torn tail":
        lines.append(lines[-1][:20])
    else:
        lines[hit] = lines[hit][:9] + b"\xff\x00" + lines[hit][11:]
    journal.write_bytes(b"".join(lines))
    assert tuned(tmp_path, "--trials", "6") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "damaged journal" in said and "journal.log.damaged1" in said
    after = table(tmp_path)
    assert (after["state"] == "complete").sum() >= 6 - (harm != "torn tail")
    assert "running" not in set(after["state"])
    kept = before.index[before["trial"] != 2] if harm != "torn tail" else before.index
    for column in ("param.a", "param.b", "accuracy"):
        assert set(before.loc[kept, column]) <= set(after[column])
    assert tuned(tmp_path, "--trials", "7") == 0


def test_a_line_glued_to_an_unfinished_one_is_saved(tmp_path):
    from benchmarks.tuning.journal import _parse

    assert _parse(b'{"op_code":8,"tri{"op_code":6,"trial_id":3}') == {"op_code": 6, "trial_id": 3}
    assert _parse(b"nonsense") is None


def test_a_database_serves_as_storage(tmp_path):
    url = f"sqlite:///{tmp_path}/tuning.db"
    for trials in ("3", "5"):
        assert tuned(tmp_path, "--trials", trials, "--storage", url) == 0
    assert len(table(tmp_path)) == 5 and not (tmp_path / "tuning" / "s" / "journal.log").exists()
    assert [s.study_name for s in optuna.get_all_study_summaries(url)] == ["s"]
