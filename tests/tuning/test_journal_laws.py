"""Whatever happens to a study's journal: the whole trials are kept, the others are made again."""

import os
import warnings

import pytest
from damage import damaged, few
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from oracle import ORACLE, plan, study_folder, tuned

from benchmarks.planning.methods import METHODS
from benchmarks.tuning.report import trial_table
from benchmarks.tuning.retries import counted
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import work
from mosaic.fl.errors import InputError

N_TRIALS = 4


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The journal of a study with its trials, its content, and the plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "oracle", ORACLE)
        patch.setattr("benchmarks.tuning.report.write_figures", lambda *_: [])
        out = tmp_path_factory.mktemp("out")
        assert tuned(out, f"--trials={N_TRIALS}", "--sampler=random") == 0
        path = study_folder(out) / "journal.log"
        # As a process wrote it that has ended; this one would still be running its trials.
        content = path.read_bytes().replace(b'"pid":%d' % os.getpid(), b'"pid":4194305')
        yield path, content, plan(out, f"--trials={N_TRIALS}", "--sampler=random")


def results(study):
    """What the trials that count have found: settings and values."""
    trials = counted(study, study.get_trials(False))
    return {
        (repr(sorted(trial.params.items())), repr(trial.values))
        for trial in trials
        if trial.state == TrialState.COMPLETE
    }


def check(journal, data) -> None:
    path, content, the_plan = journal
    for old in path.parent.glob("journal.log*"):
        old.unlink()
    path.write_bytes(content)
    whole = results(open_study(the_plan))
    path.write_bytes(data.draw(damaged(content)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            study = open_study(the_plan)
            work(study, the_plan, lambda *_: None)
        except InputError as error:
            assert "exists, and is another one" in str(error) or str(path) in str(error)
            return
    for warning in caught:
        assert str(path) in str(warning.message) and "\n" not in str(warning.message)
    study = open_study(the_plan)
    trials = counted(study, study.get_trials(False))
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) >= N_TRIALS
    assert results(study) == whole
    assert len(trial_table(study, the_plan)) >= N_TRIALS


@few(6)
@given(data=st.data())
def test_a_journal(journal, data):
    check(journal, data)


@pytest.mark.slow
@few(300)
@given(data=st.data())
def test_a_journal_at_length(journal, data):
    check(journal, data)


def test_a_trial_with_damaged_measurements_is_tried_again_and_is_in_the_table(journal):
    """Its own measurements stay as they are in the journal, but nothing is computed from them."""
    path, content, the_plan = journal
    path.write_bytes(content.replace(b'"computed_s"', b'"computed_x"', 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = open_study(the_plan)
    work(study, the_plan, lambda *_: None)
    table = trial_table(study, the_plan)
    assert (table["state"] == "complete").sum() == N_TRIALS
    assert table["computed_s"].notna().all()


def test_a_trial_with_one_damaged_setting_is_tried_again(tmp_path, capsys):
    """Before, every later call ended with a KeyError."""
    assert tuned(tmp_path, "--trials=4", "--sampler=random") == 0
    before = results(open_study(plan(tmp_path, "--trials=4", "--sampler=random")))
    path = study_folder(tmp_path) / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    [at] = [
        i
        for i, line in enumerate(lines)
        if b'"op_code":5,' in line and b'"trial_id":2,"param_name":"a"' in line
    ]
    lines[at] = lines[at][:50] + bytes(10) + lines[at][60:]
    path.write_bytes(b"".join(lines))

    assert tuned(tmp_path, "--trials=4", "--sampler=random") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "damaged journal" in printed and "the trials 2" in printed
    study = open_study(plan(tmp_path, "--trials=4", "--sampler=random"))
    assert results(study) == before
    assert study.get_trials()[4].user_attrs["retry_of"] == 2
    assert path.with_name("journal.log.damaged").exists()
