"""The tuner: it finds what is there to find, loses no trial, and never sees a test image."""

import functools
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState
from sklearn.datasets import load_digits

from benchmarks import run as benchmark
from benchmarks import tune
from benchmarks.cells import METHODS
from benchmarks.suites import read_suite, spell_out
from benchmarks.tuning import studies
from benchmarks.tuning.space import space_of, text_of, toml_of, within
from benchmarks.tuning.trials import work
from mosaic.fl import data
from mosaic.fl.rng import generator
from mosaic.fl.store import use_store, watch_stages
from mosaic.fl.task import Snapshot, Task, choice


@dataclass(frozen=True)
class Config:
    a: float = 0.0
    b: float = 1.0
    kind: str = choice("good", "bad")
    nap: float = 0.0  # seconds that a cell takes
    breaks_above: float = math.inf
    peeks: bool = False  # at the test set
    draw: int = 0  # of what is gotten right: a setting of which nothing depends but luck


def answer(task: Task, config: Config, images: torch.Tensor) -> torch.Tensor:
    """The right class of a share of the digits: all at a = 3 and b = 10, fewer the further away."""
    digits = load_digits()
    known = torch.from_numpy(np.round(digits.images * (255 / 16))).float().flatten(1)
    which = torch.cdist(((images + 1) * 127.5).flatten(1).round(), known).argmin(1)
    share = 1 - ((config.a - 3) / 10) ** 2 - (math.log10(config.b) - 1) ** 2 / 10 - 0.3 * (config.kind == "bad")
    luck = torch.rand(len(known), generator=generator(task.seed, "oracle", config.draw))
    right = torch.from_numpy(digits.target)[which]
    said = torch.where(luck[which] < share, right, (right + 1) % 10)
    return torch.nn.functional.one_hot(said, 10).float()


def oracle(task: Task, config: Config) -> Iterator[Snapshot]:
    """A method with a known optimum that learns nothing: it knows all digits and gets some wrong."""
    time.sleep(config.nap)
    if config.a > config.breaks_above:
        raise FloatingPointError("a is too large")
    if config.peeks:
        data.load(task.dataset, "test")
    yield Snapshot(task.rounds, functools.partial(answer, task, config))


ORACLE = SimpleNamespace(
    PAPER="",
    PROTOCOL="none",
    NEEDS=(),
    __doc__="Oracle: it knows.",
    Config=Config,
    SPACE={"a": (-5.0, 5.0), "b": (0.1, 100.0)},
    run=oracle,
)
METHODS_BEFORE = dict(METHODS)
COMMON = ["--method", "oracle", "--clients", "2", "--jobs", "1", "--device", "cpu", "--precision", "fp32"]
COMMON += ["--seeds", "2", "--stability-seeds", "0", "--study", "s"]

# A command of its own, with the stand-in among the methods there and in the processes that it starts
DRIVER = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
import test_tune
test_tune.METHODS["oracle"] = test_tune.ORACLE
import benchmarks.tuning.report as report
report.write_figures = lambda *given: []
if __name__ == "__main__":
    from benchmarks.tune import main
    sys.exit(main())
"""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, request):
    """The oracle is a method; no figures but where a test asks for them; nothing is left behind."""
    monkeypatch.setitem(METHODS, "oracle", ORACLE)
    monkeypatch.setenv("MOSAIC_DATA", "")
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("benchmarks.tuning.report.write_figures", lambda *given: [])
    yield
    use_store(None)
    watch_stages(None)


@pytest.fixture
def figures():
    """Asked for by a test whose figures are drawn; they take seconds."""


@pytest.fixture
def driver(tmp_path) -> Path:
    path = tmp_path / "driver.py"
    path.write_text(DRIVER)
    return path


def tuned(out: Path, *more: str) -> int:
    return tune.main([*COMMON, "--out", str(out), *more])


def table(out: Path, study: str = "s") -> pd.DataFrame:
    return pd.read_csv(out / "tuning" / study / "trials.csv")


def params(out: Path) -> list[tuple[float, float]]:
    """Of the trials that count, in order."""
    rows = table(out)
    return list(rows[~rows["reason"].astype(str).str.contains("tried again")][["param.a", "param.b"]].itertuples(False))


def plan(out: Path, *more: str):
    return tune.plan_of(tune.parse([*COMMON, "--out", str(out), *more]))[0]


def test_what_changes_the_stages_is_costly_and_a_few_trials_share_it(tmp_path):
    """Generators depend on lambda_e, not on weight_hard; the oracle says nothing of stages."""
    assert plan(tmp_path).costly == ()
    own = plan(tmp_path, "--method", "mosaic", "--only", "lambda_e,weight_hard", "--trials", "9", "--hold", "3")
    assert own.costly == ("lambda_e",)
    assert plan(tmp_path, "--method", "mosaic", "--only", "weight_hard,distil_lr").costly == ()
    assert plan(tmp_path, "--method", "mosaic", "--only", "lambda_e").costly == ()  # nothing would be left to vary
    use_store(tmp_path / "cache")
    study = studies.open_study(own)
    drawn = []
    while trial := studies.claim(study, own):
        drawn.append((trial.params["lambda_e"], trial.params["weight_hard"]))
        study.tell(trial, 0.5)
    assert [lambda_e for lambda_e, _ in drawn] == [drawn[i - i % 3][0] for i in range(9)]
    assert len(dict(drawn)) == 3 and len({hard for _, hard in drawn}) == 9


def test_costly_settings_that_are_still_computed_are_not_waited_for(tmp_path):
    own = plan(tmp_path, "--method", "mosaic", "--only", "lambda_e,weight_hard", "--trials", "3")
    study = studies.open_study(own)
    first, second = studies.claim(study, own), studies.claim(study, own)
    assert first.params["lambda_e"] != second.params["lambda_e"]
    study.tell(second, 0.5)
    assert studies.claim(study, own).params["lambda_e"] == second.params["lambda_e"]


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


# What it finds


def test_a_known_optimum_is_found_and_best_toml_has_it(tmp_path):
    assert tuned(tmp_path, "--trials", "25", "--space", "kind=good,bad") == 0
    rows = table(tmp_path)
    assert rows["trial"].tolist() == list(range(25)) and set(rows["state"]) == {"complete"}
    first, best = rows.iloc[0], rows.loc[rows["accuracy"].idxmax()]
    assert first["default"] and (first["param.a"], first["param.b"], first["param.kind"]) == (0, 1, "good")
    # by hand: at the default a share 1 - 0.09 - 0.1 = 0.81 is right
    assert 0.72 < first["accuracy"] < 0.9 and best["accuracy"] > 0.98
    found = tomllib.loads((tmp_path / "tuning" / "s" / "best.toml").read_text())["oracle"]
    assert abs(found["a"] - 3) < 1.5 and 1 < found["b"] < 100 and found["kind"] == "good"
    # the objective is the mean over the tuning seeds, and those begin at 1000
    assert best["accuracy"] == pytest.approx((best["accuracy.1000"] + best["accuracy.1001"]) / 2)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_seed_and_one_job_give_the_same_trials_also_when_the_study_is_stopped_between(sampler, tmp_path):
    more = ["--sampler", sampler, "--space", "a=-5:4"]
    assert tuned(tmp_path / "whole", "--trials", "13", *more) == 0
    for trials in ("4", "12", "13"):
        assert tuned(tmp_path / "parts", "--trials", trials, *more) == 0
    assert params(tmp_path / "whole") == params(tmp_path / "parts")
    assert tuned(tmp_path / "other", "--trials", "13", "--seed", "1", *more) == 0
    assert params(tmp_path / "other") != params(tmp_path / "whole")


def test_a_grid_is_run_point_by_point_each_once(tmp_path):
    more = ["--sampler", "grid", "--points", "3", "--space", "kind=good,bad", "--trials", "99"]
    assert tuned(tmp_path, *more) == 0
    points = table(tmp_path)[["param.a", "param.b", "param.kind"]]
    # by hand: -5, 0, 5; on a log scale 0.1, sqrt(10), 100; the default (0, 1, good) is none of them
    wanted = set(itertools.product((-5.0, 0.0, 5.0), (0.1, 10**0.5, 100.0), ("good", "bad"))) | {(0.0, 1.0, "good")}
    assert len(points) == 19 and {(a, round(b, 6), k) for a, b, k in points.itertuples(index=False)} == {
        (a, round(b, 6), k) for a, b, k in wanted
    }


def test_several_objectives_give_a_pareto_front(tmp_path):
    assert tuned(tmp_path, "--trials", "8", "--objective", "accuracy,seconds", "--set", "oracle.nap=0.001") == 0
    rows = table(tmp_path)
    for _, row in rows[rows["pareto"]].iterrows():
        better = (rows["accuracy"] >= row["accuracy"]) & (rows["seconds"] < row["seconds"])
        assert not better.any()
    assert rows["pareto"].any() and rows.loc[rows["accuracy"].idxmax(), "pareto"]


@pytest.mark.parametrize("pruner, seeds", [("median", 3), ("wilcoxon", 7)])
def test_a_hopeless_trial_stops_early_and_a_good_one_never(pruner, seeds, tmp_path):
    more = ["--pruner", pruner, "--seeds", str(seeds), "--sampler", "random", "--trials", "14"]
    assert tuned(tmp_path, *more) == 0
    rows = table(tmp_path)
    pruned = rows[rows["state"] == "pruned"]
    assert len(pruned) and (pruned["n_seeds"] < seeds).all()
    assert pruned["accuracy"].max() < rows["accuracy"].max()
    assert (rows[rows["state"] == "complete"]["n_seeds"] == seeds).all()


# Nothing is lost


def test_two_commands_on_one_study_share_its_trials(driver, tmp_path):
    both = [started(driver, tmp_path, "--trials", "12", "--set", "oracle.nap=0.05") for _ in range(2)]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    rows = table(tmp_path)
    assert len(rows) == 12 and set(rows["state"]) == {"complete"}
    assert len(set(params(tmp_path))) == 12
    study = studies.open_study(plan(tmp_path, "--trials", "12", "--set", "oracle.nap=0.05"))
    assert len({trial.user_attrs["process"]["pid"] for trial in study.get_trials()}) == 2


def test_jobs_are_processes_and_one_that_is_killed_is_replaced(driver, tmp_path):
    more = ["--trials", "6", "--jobs", "2", "--set", "oracle.nap=0.5"]
    command = started(driver, tmp_path, *more)
    wait_for(lambda: n_finished(tmp_path) >= 1)
    study = studies.open_study(plan(tmp_path, *more))
    begun = lambda: [t for t in study.get_trials(states=[TrialState.RUNNING]) if "process" in t.user_attrs]  # noqa: E731
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
    assert study.get_trials()[1].params == {"a": 0, "b": 1} and study.get_trials()[1].user_attrs["default"]


def test_a_failing_trial_is_recorded_and_stops_no_other(tmp_path):
    more = ["--sampler", "grid", "--points", "3", "--trials", "20", "--set", "oracle.breaks_above=1"]
    assert tuned(tmp_path, *more) == 0
    rows = table(tmp_path)
    broken = rows[rows["param.a"] > 1]
    assert len(rows) == 10 and len(broken) == 3
    assert set(broken["state"]) == {"fail"} and set(broken["reason"]) == {"FloatingPointError: a is too large"}
    assert set(rows[rows["param.a"] <= 1]["state"]) == {"complete"}
    assert tuned(tmp_path, "--study", "none", *more[:-1], "oracle.breaks_above=-9") == 1


@pytest.mark.parametrize("harm", ["torn tail", "middle", "creation", "first line"])
def test_of_a_damaged_journal_the_readable_rest_is_kept(harm, tmp_path, capsys):
    assert tuned(tmp_path, "--trials", "5") == 0
    before = table(tmp_path)
    journal = tmp_path / "tuning" / "s" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    creations = [i for i, line in enumerate(lines) if b'"op_code":4,' in line]
    hit = {"torn tail": len(lines), "middle": creations[2] + 1, "creation": creations[2], "first line": 0}[harm]
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


# It never sees a test image


def test_sealed_the_test_set_cannot_be_loaded():
    with data.sealed_test_set(), data.sealed_test_set():
        assert len(data.load("digits", "train").images)
        with pytest.raises(RuntimeError, match="the test set of digits"):
            data.load("digits", "test")
    assert len(data.load("digits", "test").images)


def test_a_method_that_opens_the_test_set_fails(tmp_path):
    assert tuned(tmp_path, "--trials", "2", "--set", "oracle.peeks=true") == 1
    assert table(tmp_path)["reason"].str.contains("sealed").all()


MOSAIC = ["--method", "mosaic", "--jobs", "1", "--device", "cpu", "--precision", "fp32", "--clients", "3"]
MOSAIC += [f"--set=task.{text}" for text in ("rounds=2", "steps=2", "base_width=4", "score_every=1")]
MOSAIC += [f"--set=mosaic.{text}" for text in ("generator_steps=4", "distil_steps=2", "ngf=4", "distil_batch=30")]
MOSAIC += ["--stability-seeds", "0", "--study", "m"]


def test_mosaic_is_tuned_for_both_objectives_without_the_test_set_and_cheaply(tmp_path, monkeypatch):
    opened = []
    load = data._load
    monkeypatch.setattr(data, "_load", lambda name, split, folder: opened.append(split) or load(name, split, folder))
    data_of = ["--out", str(tmp_path), "--objective", "accuracy,fid_domain", "--seeds", "1"]
    space = ["--space", "weight_hard=0.0,0.5", "--space", "lambda_d=2.0,5.0"]
    grid = ["--sampler", "grid", "--trials", "9", "--only", "weight_hard,lambda_d", *space]
    assert tune.main([*MOSAIC, *data_of, *grid]) == 0
    assert opened and set(opened) == {"train"}
    rows = table(tmp_path, "m")
    assert rows["fid_domain"].gt(0).all() and len(rows) == 4
    seen = set()
    for row in rows.to_dict("records"):
        computed = str(row["computed"])
        if not seen:
            assert "client_generator:3" in computed and "warm_up:" in computed
        else:  # a weight of the distillation makes nothing anew, one of the generators these only
            assert computed == ("nan" if row["param.lambda_d"] in seen else "client_generator:3")
            assert row["saved_s"] > 0 and "warm_up:" in row["reused"]
        seen.add(row["param.lambda_d"])


def test_a_data_folder_without_test_files_is_enough(tmp_path, monkeypatch):
    """MNIST's training files alone, of noise: 300 images."""
    monkeypatch.setattr(data, "_download", lambda *_: "offline")
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    pixels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8)
    labels = np.arange(300, dtype=np.uint8) % 10
    for name, array in zip(data.DATASETS["mnist"].files["train"], (pixels, labels), strict=True):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(head + array.tobytes())
    more = ["--method", "dense", "--dataset", "mnist", "--data-dir", str(folder), "--trials", "2", "--seeds", "1"]
    more += [f"--set=dense.{text}" for text in ("epochs=1", "synthesis_steps=1", "batch=16", "latent=4")]
    settings = [text for text in MOSAIC if text.startswith("--set=task.")]
    assert tuned(tmp_path, *more, *settings) == 0
    assert set(table(tmp_path)["state"]) == {"complete"}


# What it writes


def planned(capsys, *given: str) -> str:
    capsys.readouterr()
    assert benchmark.main(["--dry-run", "--seeds", "1", "--omega", "0.1", "--methods", "mosaic", *given]) == 0
    return capsys.readouterr().out


def test_best_toml_goes_back_into_the_benchmark_as_set_would(tmp_path, capsys):
    out, third = ["--out", str(tmp_path)], 1 / 3
    file = tmp_path / "best.toml"
    file.write_text(toml_of("mosaic", {"lambda_d": third, "distil_lr": 1e-05, "k": 3, "teacher": "source"}, ["why"]))
    assert tomllib.loads(file.read_text())["mosaic"] == {
        "lambda_d": third,
        "distil_lr": 1e-05,
        "k": 3,
        "teacher": "source",
    }
    by_set = [f"--set=mosaic.{t}" for t in (f"lambda_d={third!r}", "distil_lr=1e-05", "k=3", "teacher=source")]
    with_file, with_set = planned(capsys, *out, "--params", str(file)), planned(capsys, *out, *by_set)
    assert with_file == with_set != planned(capsys, *out)
    # what is set on the command line comes after the file
    assert planned(capsys, *out, "--params", str(file), "--set", "mosaic.k=4") == planned(
        capsys, *out, *by_set, "--set", "mosaic.k=4"
    )


@pytest.mark.parametrize(
    "content, wanted", [(None, "cannot read --params"), ("[mosaic", "not valid TOML"), ("k = 3", "is in no table"),
                        ("[mosiac]\nk = 3", "did you mean 'mosaic'"), ("[mosaic]\nkk = 3", "unknown setting")]
)  # fmt: skip
def test_a_wrong_file_of_parameters_is_explained(content, wanted, tmp_path, capsys):
    if content:
        (tmp_path / "p.toml").write_text(content)
    assert benchmark.main(["--dry-run", "--out", str(tmp_path), "--params", str(tmp_path / "p.toml")]) == 2
    assert wanted in " ".join(capsys.readouterr().err.split())


def test_the_figures_are_drawn(tmp_path, figures):
    assert tuned(tmp_path, "--trials", "10", "--space", "kind=good,bad", "--objective", "accuracy,seconds") == 0
    drawn = {path.name for path in (tmp_path / "tuning" / "s" / "figures").iterdir()}
    names = ("history", "importances", "slices", "contour", "pareto")
    assert drawn == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}


def test_a_study_of_one_trial_or_of_equal_results_has_the_figures_it_can(tmp_path, figures):
    assert tuned(tmp_path, "--trials", "1") == 0
    assert tuned(tmp_path, "--study", "equal", "--trials", "5", "--space", "a=-60:-50", "--only", "a") == 0
    for study in ("s", "equal"):
        assert {path.stem for path in (tmp_path / "tuning" / study / "figures").iterdir()} == {"history", "slices"}


def page(tmp_path: Path, *more: str) -> str:
    assert tuned(tmp_path, *more, "--stability-seeds", "3") == 0
    return (tmp_path / "tuning" / "s" / "stability.md").read_text()


def test_stability_says_where_tuning_gains(tmp_path):
    said = page(tmp_path, "--trials", "12")
    assert "**Tuning gains: on 3 fresh seeds" in said and "fresh seeds 0, 1, 2 (test set)" in said
    assert said.count("| trial ") == 5 and "| default | 0 | 1 |" in said


def test_stability_says_where_no_setting_is_better(tmp_path):
    said = page(tmp_path, "--trials", "6", "--space", "nap=0:1e-4", "--only", "nap")
    assert "**Tuning does not gain: no other setting beat the default on the tuning seeds. Keep the default.**" in said


def test_stability_finds_out_what_was_luck(tmp_path):
    """The winner of ten settings that differ by luck alone is ahead on the seeds that chose it, not on fresh ones."""
    said = page(tmp_path, "--trials", "11", "--space", "draw=0:99", "--only", "draw", "--sampler", "random")
    assert "**No gain is shown: on 3 fresh seeds" in said and "Keep the default unless more seeds say otherwise" in said
    assert "With 3 seeds only a difference of about" in said and "chance had a share in the choice" in said
    chosen, fresh = (float(x) for x in re.search(r"by (\S+) points on the tuning.*by (\S+) points", said).groups())
    assert chosen > fresh


# What it refuses

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
    "--seeds 0,1": "seed 0 is a reporting seed, which tuning must not see; tuning seeds begin at 1000",
    "--stability-seeds 0,1000": "seed 1000 is for tuning alone",
    "--objective acuracy": "did you mean 'accuracy'",
    "--objective ,": "--objective is empty",
    "--objective fid_domain": "oracle has no generator",
    "--sampler tpi": "did you mean 'tpe'",
    "--pruner wilcoxn": "did you mean 'wilcoxon'",
    "--sampler cmaes --objective accuracy,flops": "one objective only",
    "--space aa=1:2": "unknown setting of oracle 'aa'; did you mean 'a'?",
    "--space a": "is not KEY=LOW:HIGH",
    "--space a=2:1": "it must run from a lower to a higher number",
    "--space a=1:inf": "it must run from a lower to a higher number",
    "--space a=low:high": "oracle.a is 'low'; it must be of type float",
    "--space a=-1:1:log": "on a log scale it must begin above 0",
    "--space a=1:2:lag": "comes log or linear, not 'lag'",
    "--space kind=1:2": "possible: good, bad",
    "--space kind=good,ugly": "oracle.kind is 'ugly'; possible: good, bad",
    "--space kind=good": "give at least two",
    "--only lambda": "unknown key of oracle's space 'lambda'",
    "--set oracle.a=1 --set oracle.b=1": "the space of oracle is empty; give --space KEY=LOW:HIGH",
    "--set oracle.a=1 --space a=1:2": "oracle.a is both set and in the space",
    "--set oracle.aa=1": "unknown setting of oracle 'aa'",
    "--set mosaic.k=1": "unknown method of --set here 'mosaic'",
    "--set task.validation=0": "tuning needs images held out",
    "--storage tuning.db": "is no URL",
    "--storage sqlite:////nowhere/tuning.db": "cannot open the storage sqlite:////nowhere/tuning.db",
    "--storage nosql://x": "cannot open the storage nosql://x",
    "--study ../x": "it names a folder",
    "--out /proc/nothing": "cannot write to --out",
}  # fmt: skip


@pytest.mark.parametrize("given", WRONG)
def test_a_wrong_command_is_explained_and_exits_with_2(given, tmp_path, capsys):
    assert tuned(tmp_path, *given.split()) == 2
    assert WRONG[given] in " ".join(capsys.readouterr().err.split())


def test_cma_es_without_its_package_is_explained(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tune.importlib.util, "find_spec", lambda name: None)
    assert tuned(tmp_path, "--sampler", "cmaes") == 2
    assert "pip install cmaes" in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(not tune.importlib.util.find_spec("cmaes"), reason="cmaes is not installed")
def test_cma_es_goes_on_where_it_was(tmp_path):
    assert tuned(tmp_path / "whole", "--trials", "12", "--sampler", "cmaes") == 0
    for trials in ("7", "12"):
        assert tuned(tmp_path / "parts", "--trials", trials, "--sampler", "cmaes") == 0
    assert params(tmp_path / "whole") == params(tmp_path / "parts")


def test_a_study_of_another_plan_is_told_apart_and_one_without_results_gives_way(tmp_path, capsys):
    assert tuned(tmp_path, "--trials", "1", "--set", "oracle.breaks_above=-9") == 1
    assert tuned(tmp_path, "--trials", "2", "--space", "a=0:4") == 0  # all trials of the first one failed
    assert tuned(tmp_path, "--trials", "3", "--space", "a=0:20", "--seeds", "3") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "study 's' exists, and is another one" in said and "another name with --study" in said
    assert "--space a is 0.0:4.0 in it and 0.0:20.0 here" in said and "seeds is 1000,1001 in it" in said
    assert tuned(tmp_path, "--trials", "3", "--space", "a=0:4", "--sampler", "random") == 0  # the sampler may change
    assert table(tmp_path)["trial"].tolist() == [0, 1, 2]


def test_the_benchmark_refuses_tuning_seeds(tmp_path, capsys):
    assert benchmark.main(["--dry-run", "--seeds", "0,1000", "--out", str(tmp_path)]) == 2
    assert "seed 1000 is for tuning alone" in " ".join(capsys.readouterr().err.split())


# The space, and grids in suites


def test_ranges_are_of_the_fields_type_and_logarithmic_where_they_are_wide():
    space = space_of("dense", ["epochs=10:40", "latent=1:1000", "student=average,random", "batch=32,64"])
    assert {key: text_of(d) for key, d in space.items()} == {
        "weight_bn": "0.01:10.0:log", "weight_adv": "0.1:10.0:log", "student_lr": "0.0001:0.1:log",
        "temperature": "1.0:20.0", "epochs": "10:40", "latent": "1:1000:log", "student": "average,random",
        "batch": "32,64",
    }  # fmt: skip
    assert text_of(space_of("dense", ["temperature=1:2:log"], ["temperature"])["temperature"]) == "1.0:2.0:log"
    assert list(space_of("dense", fixed={"weight_bn": 1, "weight_adv": 1, "student_lr": 1})) == ["temperature"]
    drawn = within(space, {**METHODS["dense"].Config().__dict__, "epochs": 200, "temperature": 0.5, "batch": 256})
    assert (drawn["epochs"], drawn["temperature"], drawn["batch"], drawn["student"]) == (40, 1.0, 64, "average")


@pytest.mark.parametrize("method", METHODS_BEFORE)
def test_every_methods_space_can_be_tuned_and_contains_its_defaults(method):
    if METHODS[method].SPACE:
        space, default = space_of(method), METHODS[method].Config()
        values = {key: getattr(default, key) for key in space}
        assert within(space, values) == values


SWEEP = """
question = "Which?"
omega = [1.0]
clients = [2]
[[method]]
name = "fedavg"
[[method]]
name = "oracle"
set = { kind = "good" }
grid = { a = [-1, 3], b = [1.0, 10.0], draw = [0, 1] }
"""


def test_a_grid_in_a_suite_is_a_cell_a_point_and_a_heat_map(tmp_path, capsys):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    more = ["--suite", str(tmp_path / "sweep.toml"), "--seeds", "2", "--jobs", "1", "--device", "cpu", "--out"]
    tiny = [f"--set=task.{text}" for text in ("rounds=1", "steps=1", "base_width=4")]
    assert benchmark.main([*more, str(tmp_path), *tiny]) == 0
    folder = tmp_path / "sweep"
    rows = pd.read_csv(folder / "records.csv")
    points = rows[rows["method"] != "fedavg"]
    assert len(points) == 2 * 8 and set(points["method"]) == {
        f"oracle a={a} b={b} draw={d}" for a in (-1, 3) for b in (1.0, 10.0) for d in (0, 1)
    }
    best = points.groupby("method")["accuracy"].mean()
    assert best.filter(like="a=3 b=10.0").min() == 1 == best.max()
    assert set(points["config.a"]) == {-1, 3}
    drawn = {path.name for path in (folder / "figures").glob("heatmap*")}
    assert drawn == {f"heatmap_oracle_digits_omega1_2_full.{ending}" for ending in ("png", "svg")}
    capsys.readouterr()
    assert benchmark.main([*more, str(tmp_path), *tiny, "--dry-run", "--methods", "oracle"]) == 0
    assert "16 cells, 16 done" in capsys.readouterr().out


def test_the_lambda_sweep_spells_out_its_grid():
    name, suite = read_suite("lambda_sweep")
    cells = [cell for cell in spell_out(name, suite, "quick", seeds=[0]) if cell.method == "mosaic"]
    lambdas = {(cell.config.lambda_e, cell.config.lambda_d, cell.config.lambda_i) for cell in cells}
    assert len(cells) == len(lambdas) == 27 and (1, 5, 10) in lambdas
