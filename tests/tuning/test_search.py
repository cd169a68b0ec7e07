"""The tuner finds what is there to find, and a few trials share what is costly."""

import importlib.util
import itertools
import tomllib

import pytest
from oracle import params, plan, table, tuned

from benchmarks.tuning import studies
from mosaic.fl.cache import use_cache


def test_a_known_optimum_is_found_and_best_toml_has_it(tmp_path):
    assert tuned(tmp_path, "--trials", "25", "--space", "kind=good,bad") == 0
    rows = table(tmp_path)
    assert rows["trial"].tolist() == list(range(25)) and set(rows["state"]) == {"complete"}
    first, best = rows.iloc[0], rows.loc[rows["accuracy"].idxmax()]
    assert first["default"] and (first["param.a"], first["param.b"], first["param.kind"]) == (
        0,
        1,
        "good",
    )
    # by hand: at the default a share 1 - 0.09 - 0.1 = 0.81 is right
    assert 0.72 < first["accuracy"] < 0.9 and best["accuracy"] > 0.98
    found = tomllib.loads((tmp_path / "tuning" / "s" / "best.toml").read_text())["oracle"]
    assert abs(found["a"] - 3) < 1.5 and 1 < found["b"] < 100 and found["kind"] == "good"
    # the objective is the mean over the tuning seeds, and those begin at 1000
    assert best["accuracy"] == pytest.approx((best["accuracy.1000"] + best["accuracy.1001"]) / 2)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
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


def test_a_grid_is_run_point_by_point_each_once(tmp_path):
    more = ["--sampler", "grid", "--points", "3", "--space", "kind=good,bad", "--trials", "99"]
    assert tuned(tmp_path, *more) == 0
    points = table(tmp_path)[["param.a", "param.b", "param.kind"]]
    # by hand: -5, 0, 5; on a log scale 0.1, sqrt(10), 100; the default (0, 1, good) is none of them
    wanted = set(itertools.product((-5.0, 0.0, 5.0), (0.1, 10**0.5, 100.0), ("good", "bad"))) | {
        (0.0, 1.0, "good")
    }
    assert len(points) == 19 and {
        (a, round(b, 6), k) for a, b, k in points.itertuples(index=False)
    } == {(a, round(b, 6), k) for a, b, k in wanted}


def test_several_objectives_give_a_pareto_front(tmp_path):
    assert (
        tuned(
            tmp_path,
            "--trials",
            "8",
            "--objective",
            "accuracy,seconds",
            "--set",
            "oracle.nap=0.001",
        )
        == 0
    )
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
def test_cma_es_goes_on_where_it_was(tmp_path):
    assert tuned(tmp_path / "whole", "--trials", "12", "--sampler", "cmaes") == 0
    for trials in ("7", "12"):
        assert tuned(tmp_path / "parts", "--trials", trials, "--sampler", "cmaes") == 0
    assert params(tmp_path / "whole") == params(tmp_path / "parts")


def test_what_changes_the_stages_is_costly_and_a_few_trials_share_it(tmp_path):
    """Generators depend on lambda_e, not on weight_hard; the oracle says nothing of stages."""
    assert plan(tmp_path).costly == ()
    own = plan(
        tmp_path,
        "--method",
        "mosaic",
        "--only",
        "lambda_e,weight_hard",
        "--trials",
        "9",
        "--hold",
        "3",
    )
    assert own.costly == ("lambda_e",)
    assert plan(tmp_path, "--method", "mosaic", "--only", "weight_hard,distil_lr").costly == ()
    assert (
        plan(tmp_path, "--method", "mosaic", "--only", "lambda_e").costly == ()
    )  # nothing would be left to vary
    use_cache(tmp_path / "cache")
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
