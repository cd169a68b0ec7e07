"""The pages that suites ask for: budget of generators, generator alone, pairs, growth."""

import pandas as pd
import pytest

from benchmarks.reporting.figures import suite_figures
from benchmarks.reporting.figures.generator_budget import (
    accuracy_vs_flop,
    images_vs_flop,
    means_by_flop,
)
from benchmarks.reporting.figures.growth import growth_figure
from benchmarks.reporting.pages.generator_budget import collapsed_clients, generator_budget_page
from benchmarks.reporting.pages.generator_check import generator_check_page, parameters_of, verdict
from benchmarks.reporting.pages.growth import growth_pages
from benchmarks.reporting.pages.paired import paired_page
from benchmarks.reporting.table import NOTHING
from benchmarks.reporting.tables import write_tables

SETTING = ("digits", 4, "full")


@pytest.fixture
def chained(make_records) -> pd.DataFrame:
    """Two points of a chain, at omega 1, beside the other methods."""
    records = make_records()
    records = records.loc[records["omega"] == 1.0].assign(flops=1e9, grid="", grid_settings="")
    of_mosaic = records.loc[records["label"] == "mosaic"]
    points = []
    for share, gain in ((0.1, 0.0), (1.0, 0.05)):
        label = f"mosaic generator_share={share}"
        points.append(
            of_mosaic.assign(
                label=label,
                cell=label + of_mosaic["cell"],
                grid="mosaic",
                grid_settings="generator_share",
                accuracy=of_mosaic["accuracy"] + gain,
                accuracy_teacher=0.8,
                flops=share * 1e12,
                steps_generator=4 * share * 17_000,
                client_coverage="1.000 0.500 1.000 1.000",
                worst_client_coverage=0.5,
                collapsed_clients=["1", "", "1 3"],
            )
        )
    return pd.concat([records.loc[records["label"] != "mosaic"], *points])


def test_a_row_per_budget_with_the_collapsed_clients_named(chained):
    page = generator_budget_page(chained, SETTING)
    rows = {row[1]: dict(zip(page.header, row, strict=True)) for row in page.rows}
    last = rows["mosaic generator_share=1.0"]
    assert (last["steps"], last["TFLOP"], last["seconds"]) == ("17,000", "1.0", "100")
    assert last["accuracy"] == "78.0 ± 1.2" and last["teacher"] == "80.0"
    assert last["worst client"] == "0.5" and last["collapsed clients"] == "0: 1; 2: 1 3"
    assert rows["fedavg_x"]["collapsed clients"] == "–"


def test_a_client_that_was_read_as_a_number_is_named_too():
    rows = pd.DataFrame({"seed": [0, 1], "collapsed_clients": [2.0, None], "client_coverage": "1"})
    assert collapsed_clients(rows) == "0: 2"
    assert collapsed_clients(rows.assign(collapsed_clients="")) == "none"


def test_curves_are_sorted_by_flop_and_drawn_on_a_logarithmic_axis(chained):
    curve = means_by_flop(chained.loc[chained["grid"] == "mosaic"], "accuracy")
    assert curve["tflop"].tolist() == pytest.approx([0.1, 1])
    assert curve["mean"].tolist() == pytest.approx([0.73, 0.78])
    for figure in (accuracy_vs_flop(chained), images_vs_flop(chained)):
        assert figure is not None
        assert all(axes.get_xscale() == "log" for axes in figure.axes)


def test_records_without_generators_have_no_figure_of_images(chained):
    assert images_vs_flop(chained.loc[chained["label"] == "fedavg_x"]) is None


def test_a_generator_passes_by_inceptions_fid_where_there_is_one(chained):
    rows = chained.loc[chained["grid"] == "mosaic"]
    assert verdict(rows) == "fail (domain)"
    assert verdict(rows.assign(fid_inception=19.9)) == "pass (Inception)"
    page = generator_check_page(
        rows.assign(**{"config.latent": 100, "config.ngf": 64}).assign(dataset="cifar10"), SETTING
    )
    assert page.rows[0][2] == "3,573,824"


def test_differences_are_paired_by_seed_and_have_an_interval(chained):
    page = paired_page(chained, SETTING, "mosaic generator_share=1.0")
    rows = {row[1]: dict(zip(page.header, row, strict=True)) for row in page.rows}
    assert rows["mosaic generator_share=1.0"]["points"] == "–"
    assert rows["mosaic generator_share=0.1"]["points"] == "−5.0"
    assert rows["mosaic generator_share=0.1"]["teacher's points"] == "+0.0"
    # .60 .61 .622 minus .768 .78 .792: mean -17, sd .2, so the interval is 4.303 x .2 / sqrt 3
    assert rows["fedavg_x"]["points"] == "−16.9"
    assert rows["fedavg_x"]["± 95% CI"] == "0.29"
    assert rows["fedavg_x"]["teacher"] == "–"


def test_growth_is_over_all_numbers_of_clients(make_records):
    few = make_records()
    many = few.assign(n_clients=40, cell="n" + few["cell"], upload_bytes=8.4e8)
    records = pd.concat([few, many])
    pages = list(growth_pages(records))
    assert len(pages) == 2  # one per omega
    rows = [row for row in pages[0].rows if row[0] == "mosaic"]
    assert [row[1:4] for row in rows] == [["4", "1", "73.0 ± 1.2"], ["40", "1", "73.0 ± 1.2"]]
    assert [row[-1] for row in rows] == ["10.6", "21.0"]
    assert growth_figure(records) is not None and growth_figure(few) is None


CAPTIONS = {
    "generator_budget": "Budget of the generators on digits",
    "generator_check": "The generator alone on digits",
    "paired": "What the entries differ by on digits",
    "growth": "Growing numbers of clients on digits",
}


def test_a_suite_asks_for_pages(chained, tmp_path):
    with_pages = write_tables(chained, tmp_path, pages=list(CAPTIONS))[1].read_text()
    without = write_tables(chained, tmp_path)[1].read_text()
    for caption in CAPTIONS.values():
        assert caption in with_pages and caption not in without


def test_a_suite_asks_for_figures():
    usual = suite_figures._figures(pd.DataFrame(), [])
    more = suite_figures._figures(pd.DataFrame(), ["generator_budget", "growth"])
    assert more.keys() - usual.keys() == {"accuracy_vs_flop", "images_vs_flop", "growth"}


KINDS = ("dcgan", "cvae", "flow")


def test_only_a_gan_has_the_parameters_of_a_gan():
    row = {"dataset": "digits", "config.latent": 100, "config.ngf": 8}
    rows = {kind: pd.DataFrame([row | {"config.generator": kind}]) for kind in KINDS}
    assert parameters_of(rows["dcgan"]) != NOTHING
    assert parameters_of(rows["cvae"]) == parameters_of(rows["flow"]) == NOTHING
