"""The page of spreads at the same data and over data."""

import math

import pandas as pd
import pytest

from benchmarks.reporting.pages.variance import spread_of, variance_page
from benchmarks.reporting.tables import write_tables

SETTING = ("digits", 4, "full")


def rows_of(make_records, label: str, accuracies: list[list[float]], **more) -> pd.DataFrame:
    """Records at omega 1 of the points of a grid: an accuracy per data seed and repeat."""
    like = make_records()
    like = like.loc[(like["label"] == "mosaic") & (like["omega"] == 1.0)].iloc[0].to_dict()
    rows = []
    for seed, of_seed in enumerate(accuracies):
        for repeat, accuracy in enumerate(of_seed):
            point = f"{label} meta=gate meta_seed={repeat}"
            names = {"seed": seed, "label": point, "cell": f"{point}{seed}", "method": "mosaic"}
            grid = {"grid": label, "grid_settings": "meta meta_seed", "config.meta": "gate"}
            rows.append(like | names | grid | {"accuracy": accuracy} | more)
    return pd.DataFrame(rows)


def test_the_spread_by_hand():
    """Two data seeds, two repeats: variances .0002 and .0008 at the same data, .0050 and .0032
    over data.
    """
    spread = spread_of(pd.DataFrame([[0.60, 0.62], [0.70, 0.70]]))
    assert spread.mean == pytest.approx(0.655)
    assert spread.repeats**2 == pytest.approx(0.0002 / 2)
    assert spread.seeds**2 == pytest.approx((0.0050 + 0.0032) / 2)
    assert spread.share == pytest.approx(0.0001 / 0.0041)


def test_equal_repeats_have_no_spread_at_all():
    """The computed mean of 0.1, 0.1 and 0.1 is not 0.1."""
    spread = spread_of(pd.DataFrame([[0.1, 0.1, 0.1], [0.7, 0.7, 0.7]]))
    assert spread.repeats == 0 and spread.share == 0


@pytest.mark.parametrize("values", [[[0.5]], [[0.5], [0.5]]])
def test_without_repeats_or_without_a_spread_over_seeds_there_is_no_share(values):
    spread = spread_of(pd.DataFrame(values))
    assert math.isnan(spread.repeats) and math.isnan(spread.share)


def test_a_grid_is_one_line_and_methods_without_one_have_no_repeats(make_records):
    records = make_records()
    records = records.loc[records["omega"] == 1.0].assign(grid="", grid_settings="")
    grid = rows_of(make_records, "mosaic", [[0.60, 0.62], [0.70, 0.70]], accuracy_teacher=0.8)
    page = variance_page(pd.concat([records, grid]), SETTING)
    lines = {row[1]: row for row in page.rows}
    assert lines["mosaic meta=gate"][2:] == [
        *("2 meta_seed", "65.5", "1.0", "6.4", "0.02"),
        *("80.0", "0", "0", "–"),
    ]
    assert lines["fedavg_x"][2:] == ["–", "61.1", "–", "1.1", "–", "–", "–", "–", "–"]
    assert "fedrolex" not in lines  # it was skipped everywhere


def test_a_suite_asks_for_the_page(tmp_path, make_records):
    grid = rows_of(make_records, "mosaic", [[0.60, 0.62], [0.70, 0.70]])
    assert "Spread at" not in write_tables(grid, tmp_path)[1].read_text()
    text = write_tables(grid, tmp_path, pages=["variance"])[1].read_text()
    assert "Spread at the same data and over data on digits, 4 clients, full width" in text
