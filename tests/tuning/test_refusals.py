"""Wrong commands: the tuner says what was given and what is possible."""

import importlib.util

import pytest
from oracle import table, tuned

from benchmarks import run as benchmark

WRONG = {
    "--method mosiac": "did you mean 'mosaic'",
    "--method local": "local has no settings",
    "--dataset digit": "did you mean 'digits'",
    "--scale qick": "did you mean 'quick'",
    "--trials 0": "--trials is 0; it must be at least 1",
    "--trials -3": "--trials is -3",
    "--jobs 0": "--jobs is 0",
    "--points 1": "--points is 1; it must be at least 2",
    "--omega much": "omega is 'much'",
    "--clients 0": "--clients is '0'",
    "--seeds 0": "at least 1",
    "--seeds 0,1": (
        "seed 0 is a reporting seed, which tuning must not see; tuning seeds begin at 1000"
    ),
    "--stability-seeds 0,1000": "seed 1000 is for tuning alone",
    "--objective acuracy": "did you mean 'accuracy'",
    "--objective ,": "--objective ',' is an empty list",
    "--objective fid_domain": "oracle has no generator",
    "--sampler tpi": "did you mean 'tpe'",
    "--pruner wilcoxn": "did you mean 'wilcoxon'",
    "--sampler cmaes --objective accuracy,flops": "one objective only",
    "--space aa=1:2": "unknown setting of oracle 'aa'; did you mean 'a'?",
    "--space a": "is not KEY=LOW:HIGH",
    "--space a=2:1": "it must run from a lower to a higher number",
    "--space breaks_above=1:inf": "it must run from a lower to a higher number",
    "--space a=low:high": "oracle.a is 'low'; it must be a finite number",
    "--space a=-1:1:log": "on a log scale it must begin above 0",
    "--space a=1:2:lag": "comes log or linear, not 'lag'",
    "--space kind=1:2": "possible: good, bad",
    "--space kind=good,ugly": "oracle.kind is 'ugly'; possible: good, bad",
    "--space kind=good": "give at least two",
    "--only lambda": "unknown key of oracle's space 'lambda'",
    "--space peeks=true,maybe": "oracle.peeks is 'maybe'; it must be true or false",
    "--set oracle.a=1 --set oracle.b=1": "the space of oracle is empty; give --space KEY=LOW:HIGH",
    "--set oracle.a=1 --space a=1:2": "oracle.a is both set and in the space",
    "--set oracle.aa=1": "unknown setting of oracle 'aa'",
    "--set mosaic.k=1": "unknown method of --set here 'mosaic'",
    "--set task.model=foo": "unknown model 'foo'",
    "--set task.rounds=true": "task.rounds is 'true'; it must be a whole number",
    "--set rounds=2": "Did you mean task.rounds?",
    "--space a=1:2 --space a=2:3": "--space has a twice",
    "--only ,": "--only ',' is an empty list",
    "--gpu-share 0": "--gpu-share is 0",
    "--clients 2.5": "--clients is '2.5'",
    "--set task.validation=0": "tuning needs images held out",
    "--storage tuning.db": "is no URL",
    "--storage sqlite:////nowhere/tuning.db": "cannot open the storage sqlite:////nowhere/tuning.db",
    "--storage nosql://x": "cannot open the storage nosql://x",
    "--study ../x": "it names a folder",
    "--out /proc/nothing": "cannot write to --out",
}


@pytest.mark.parametrize("given", WRONG)
def test_a_wrong_command_is_explained_and_exits_with_2(given, tmp_path, capsys):
    assert tuned(tmp_path, *given.split()) == 2
    assert WRONG[given] in errors(capsys)


def errors(capsys) -> str:
    """What was printed to stderr, on one line."""
    return " ".join(capsys.readouterr().err.split())


def test_cma_es_without_its_package_is_explained(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tuned(tmp_path, "--sampler", "cmaes") == 2
    assert "pip install cmaes" in errors(capsys)


def test_a_study_of_another_plan_is_refused_and_what_differs_is_printed(tmp_path, capsys):
    assert tuned(tmp_path, "--trials", "2", "--space", "a=0:4") == 0
    assert tuned(tmp_path, "--trials", "3", "--space", "a=0:20", "--seeds", "3") == 2
    message = errors(capsys)
    assert "study 's' exists, and is another one" in message
    assert "another name with --study" in message
    assert "--space a is 0.0:4.0 in it and 0.0:20.0 here" in message
    assert "seeds is 1000,1001 in it" in message


def test_the_sampler_of_a_study_may_change(tmp_path):
    assert tuned(tmp_path, "--trials", "2") == 0
    assert tuned(tmp_path, "--trials", "3", "--sampler", "random") == 0
    assert table(tmp_path)["trial"].tolist() == [0, 1, 2]


def test_a_study_without_results_is_replaced_by_another_plan(tmp_path):
    assert tuned(tmp_path, "--trials", "1", "--set", "oracle.breaks_above=-9") == 1
    assert tuned(tmp_path, "--trials", "2", "--space", "a=0:4") == 0
    assert table(tmp_path)["trial"].tolist() == [0, 1]


def test_the_benchmark_refuses_tuning_seeds(tmp_path, capsys):
    assert benchmark.main(["--dry-run", "--seeds", "0,1000", "--out", str(tmp_path)]) == 2
    assert "seed 1000 is for tuning alone" in errors(capsys)
