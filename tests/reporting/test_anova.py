"""The exact analysis of variance of a grid, and its page."""

import itertools

import pandas as pd
import pytest

from benchmarks.reporting.anova import components, f_test
from benchmarks.reporting.pages.importance import importance_pages, optuna_shares


def grid(value, **factors) -> pd.DataFrame:
    points = [
        dict(zip(factors, point, strict=True)) for point in itertools.product(*factors.values())
    ]
    return pd.DataFrame([{**point, "y": value(**point)} for point in points])


def test_a_sum_has_main_effects_only_by_hand():
    """y = a + 10 b: variances of (0, 1, 2) and of 10 (0, 1) are 2/3 and 25."""
    found = components(grid(lambda a, b: a + 10 * b, a=[0, 1, 2], b=[0, 1]), ["a", "b"], "y")
    assert found[("a",)] == pytest.approx(2 / 3)
    assert found[("b",)] == pytest.approx(25)
    assert found[("a", "b")] == pytest.approx(0)


def test_an_exclusive_or_is_an_interaction_only():
    found = components(grid(lambda a, b: float(a != b), a=[0, 1], b=[0, 1]), ["a", "b"], "y")
    assert found == pytest.approx({("a",): 0, ("b",): 0, ("a", "b"): 0.25})


def test_the_components_add_up_to_the_variance():
    points = grid(lambda a, b, c: (a + 1) ** b + c * a, a=[0, 1, 3], b=[1, 2], c=[0.5, 1, 7, 9])
    found = components(points, ["a", "b", "c"], "y")
    assert sum(found.values()) == pytest.approx(points["y"].var(ddof=0))


def test_a_grid_that_is_not_full_is_refused():
    points = grid(lambda a, b: a, a=[0, 1], b=[0, 1]).iloc[:3]
    with pytest.raises(ValueError, match="3 points are no full grid"):
        components(points, ["a", "b"], "y")


def test_the_f_test_by_hand():
    """A factor of two values over three seeds: F = 2 x .25 / .125 = 4 with 1 and 2 degrees."""
    from scipy import stats

    assert f_test(0.25, 0.125, [2], 3) == pytest.approx(stats.f.sf(4, 1, 2))
    assert pd.isna(f_test(0.25, 0.125, [2], 1)) and pd.isna(f_test(0.25, 0.0, [2], 3))


def sweep(make_records, seeds: int = 2) -> pd.DataFrame:
    """Records of a grid at omega 1 in which lambda_e is worth ten times lambda_d."""
    like = make_records()
    like = like.loc[(like["label"] == "mosaic") & (like["omega"] == 1.0)].iloc[0].to_dict()
    rows = []
    for e, d, seed in itertools.product([0.5, 1.0, 2.0], [2.0, 5.0], range(seeds)):
        label = f"mosaic lambda_e={e} lambda_d={d}"
        accuracy = 0.5 + 0.1 * e + 0.0033 * d + 0.001 * seed * (e + d % 3)
        point = {"config.lambda_e": e, "config.lambda_d": d, "accuracy": accuracy, "seed": seed}
        names = {"label": label, "cell": f"{label}{seed}", "grid": "mosaic"}
        rows.append(like | names | point | {"grid_settings": "lambda_e lambda_d"})
    return pd.DataFrame(rows)


def test_the_page_names_the_setting_that_matters_and_optuna_agrees(make_records):
    (page,) = importance_pages(sweep(make_records), ("digits", 4, "full"))
    rows = {row[3]: row for row in page.rows}
    assert list(rows) == ["lambda_e", "lambda_d", "lambda_e × lambda_d", "seed", "noise"]
    assert float(rows["lambda_e"][4]) > 90
    assert sum(float(row[4]) for row in rows.values()) == pytest.approx(100, abs=0.3)
    assert float(rows["lambda_e"][8]) == pytest.approx(float(rows["lambda_e"][7]), abs=10)
    assert float(rows["lambda_e"][6].strip("<")) < 0.01


def test_seeds_that_lack_a_point_are_left_out_and_without_any_there_is_no_page(make_records):
    records = sweep(make_records)
    (page,) = importance_pages(records.iloc[:-1], ("digits", 4, "full"))
    assert {row[2] for row in page.rows} == {"1"}
    assert not list(importance_pages(records.iloc[2:3].assign(grid_settings=""), ("digits", 4, "")))


def test_optuna_knows_settings_that_are_texts():
    table = pd.DataFrame(
        {"kind": ["a", "b"] * 8, "x": [0.0, 1.0, 2.0, 3.0] * 4, "accuracy": [0.1, 0.9] * 8}
    )
    shares = optuna_shares(table, ["kind", "x"])
    assert sum(shares.values()) == pytest.approx(1)
