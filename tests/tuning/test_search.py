"""The search: it finds a known optimum, repeats, prunes, and shares costly settings."""

import importlib.util
import itertools
import tomllib

import pytest
from oracle import params, plan, study_folder, table, tuned

from benchmarks.tuning import studies
from mosaic.fl.cache import use_cache


def test_a_known_optimum_is_found_and_written_to_best_toml(tmp_path):
    assert tuned(tmp_path, "--trials", "25", "--space", "kind=good,bad") == 0
    rows = table(tmp_path)
    assert rows["trial"].tolist() == list(range(25)) and set(rows["state"]) == {"complete"}

    # By hand: at the default (0, 1, good) a share 1 - 0.09 - 0.1 = 0.81 is correct.
    first = rows.iloc[0]
    assert first["default"]
    assert (first["param.a"], first["param.b"], first["param.kind"]) == (0, 1, "good")
    assert 0.72 < first["accuracy"] < 0.9

    # The optimum is (3, 10, good).
    best = rows.loc[rows["accuracy"].idxmax()]
    settings = tomllib.loads((study_folder(tmp_path) / "best.toml").read_text())["oracle"]
    assert best["accuracy"] > 0.98
    assert abs(settings["a"] - 3) < 1.5
    assert 1 < settings["b"] < 100
    assert settings["kind"] == "good"

    # The objective is the mean over the tuning seeds, and those begin at 1000.
    assert best["accuracy"] == pytest.approx((best["accuracy.1000"] + best["accuracy.1001"]) / 2)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
@pytest.mark.slow
def test_a_seed_and_one_job_give_the_same_trials_also_when_the_study_is_stopped_between(
    sampler, tmp_path
):
    more = ["--sampler", sampler, "--space", "a=-5:4"]
    assert tuned(tmp_path / "whole", "--trials", "13", *more) == 0
    for trials in ("4", "12", "13"):
        assert tuned(tmp_path / "parts", "--trials", trials, *more) == 0
    assert params(tmp_path / "whole") == params(tmp_path / "parts")
    assert tuned(tmp_path / "other", "--trials", "13", "--seed", "1", *more) == 0
    assert params(tmp_path / "other") != params(tmp_path / "whole")


def test_each_point_of_a_grid_is_run_once(tmp_path):
    more = ["--sampler", "grid", "--points", "3", "--space", "kind=good,bad", "--trials", "99"]
    assert tuned(tmp_path, *more) == 0
    rows = table(tmp_path)[["param.a", "param.b", "param.kind"]]
    points = {(a, round(b, 6), kind) for a, b, kind in rows.itertuples(index=False)}

    # By hand: -5, 0, 5; on a log scale 0.1, sqrt(10), 100; the default is none of the points.
    a_values = (-5.0, 0.0, 5.0)
    b_values = (0.1, round(10**0.5, 6), 100.0)
    wanted = set(itertools.product(a_values, b_values, ("good", "bad")))
    assert len(rows) == 19
    assert points == wanted | {(0.0, 1.0, "good")}


def test_several_objectives_give_a_pareto_front(tmp_path):
    more = ["--trials=8", "--objective=accuracy,seconds", "--set=oracle.nap=0.001"]
    assert tuned(tmp_path, *more) == 0
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


@pytest.mark.skipif(not importlib.util.find_spec("cmaes"), reason="cmaes is not installed")
def test_cma_es_continues_where_it_was(tmp_path):
    assert tuned(tmp_path / "whole", "--trials", "12", "--sampler", "cmaes") == 0
    for trials in ("7", "12"):
        assert tuned(tmp_path / "parts", "--trials", trials, "--sampler", "cmaes") == 0
    assert params(tmp_path / "whole") == params(tmp_path / "parts")


def mosaic_plan(tmp_path, only: str, *more: str):
    return plan(tmp_path, "--method", "mosaic", "--only", only, *more)


def test_settings_that_change_the_stages_are_costly(tmp_path):
    """Generators depend on lambda_e, not on weight_hard; the oracle announces no stages."""
    assert plan(tmp_path).costly == ()
    assert mosaic_plan(tmp_path, "lambda_e,weight_hard").costly == ("lambda_e",)
    assert mosaic_plan(tmp_path, "weight_hard,distil_lr").costly == ()
    # If every setting is costly, trials that share them would be equal.
    assert mosaic_plan(tmp_path, "lambda_e").costly == ()


def test_hold_trials_at_a_time_share_the_costly_settings(tmp_path):
    shared = mosaic_plan(tmp_path, "lambda_e,weight_hard", "--trials", "9", "--hold", "3")
    use_cache(tmp_path / "cache")
    study = studies.open_study(shared)
    lambdas = []
    weights = []
    while trial := studies.claim(study, shared):
        lambdas.append(trial.params["lambda_e"])
        weights.append(trial.params["weight_hard"])
        study.tell(trial, 0.5)
    assert len(lambdas) == 9
    for i in range(9):
        assert lambdas[i] == lambdas[i - i % 3]
    assert len(set(lambdas)) == 3 and len(set(weights)) == 9


def test_no_trial_waits_for_costly_settings_whose_stages_are_being_computed(tmp_path):
    shared = mosaic_plan(tmp_path, "lambda_e,weight_hard", "--trials", "3")
    study = studies.open_study(shared)
    first = studies.claim(study, shared)
    second = studies.claim(study, shared)
    assert first.params["lambda_e"] != second.params["lambda_e"]
    study.tell(second, 0.5)
    assert studies.claim(study, shared).params["lambda_e"] == second.params["lambda_e"]
