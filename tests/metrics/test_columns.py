"""The table of metrics: what reports and the tuner take from it; every column is described."""

import pytest
from helpers import few_steps

from benchmarks.metrics.columns import (
    METRICS,
    averaged_columns,
    columns_table,
    cost_columns,
    first_columns,
    meaning_of,
    objectives,
)
from benchmarks.planning.settings import configure
from benchmarks.running.records import done_file, read_rows
from benchmarks.running.run_cell import run_cell
from benchmarks.running.session import Session, prepare
from mosaic.fl.cache import use_cache, watch_stages


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    use_cache(None)
    watch_stages(None)


def test_the_columns_of_every_csv_come_in_this_order():
    assert " ".join(first_columns()) == (
        "suite cell label method status dataset omega n_clients widths seed scale round selection "
        "accuracy accuracy_validation accuracy_before accuracy_teacher accuracy_ensemble "
        "fid_domain fid_domain_floor is_domain is_domain_real kid_domain kid_domain_floor "
        "fid_inception fid_inception_floor is_inception is_inception_real kid_inception "
        "kid_inception_floor fidelity_n upload_bytes download_bytes method_s stage_s flops "
        "peak_memory_bytes partition reason warnings"
    )


def test_the_means_over_seeds_are_of_these_columns():
    assert " ".join(averaged_columns()) == (
        "accuracy_before accuracy_teacher fid_domain fid_domain_floor is_domain is_domain_real "
        "kid_domain kid_domain_floor fid_inception fid_inception_floor is_inception "
        "is_inception_real kid_inception kid_inception_floor fidelity_n "
        "fid_domain_balanced is_domain_balanced kid_domain_balanced balanced_classes "
        "balanced_repeats upload_bytes download_bytes method_s stage_s total_s cpu_s flops "
        "peak_memory_bytes"
    )


def test_the_table_of_costs_has_these_headings_columns_and_units():
    assert list(cost_columns().items()) == [
        ("upload MB", ("upload_bytes", 1e6)),
        ("download MB", ("download_bytes", 1e6)),
        ("seconds", ("total_s", 1)),
        ("of stages", ("stage_s", 1)),
        ("CPU s", ("cpu_s", 1)),
        ("TFLOP", ("flops", 1e12)),
        ("peak MB", ("peak_memory_bytes", 1e6)),
        ("FID domain", ("fid_domain", 1)),
        ("(floor)", ("fid_domain_floor", 1)),
        ("FID balanced", ("fid_domain_balanced", 1)),
        ("IS domain", ("is_domain", 1)),
        ("(real)", ("is_domain_real", 1)),
        ("FID Inception", ("fid_inception", 1)),
        ("[floor]", ("fid_inception_floor", 1)),
        ("IS Inception", ("is_inception", 1)),
        ("[real]", ("is_inception_real", 1)),
    ]


def test_these_metrics_can_be_tuned_for():
    assert objectives() == {
        "accuracy": "maximize",
        "fid_domain": "minimize",
        "kid_domain": "minimize",
        "is_domain": "maximize",
        "upload_bytes": "minimize",
        "download_bytes": "minimize",
        "flops": "minimize",
        "seconds": "minimize",
    }


def test_these_metrics_are_averaged_in_summaries_in_this_order():
    assert averaged_columns() == [
        "accuracy_before",
        "accuracy_teacher",
        "fid_domain",
        "fid_domain_floor",
        "is_domain",
        "is_domain_real",
        "kid_domain",
        "kid_domain_floor",
        "fid_inception",
        "fid_inception_floor",
        "is_inception",
        "is_inception_real",
        "kid_inception",
        "kid_inception_floor",
        "fidelity_n",
        "fid_domain_balanced",
        "is_domain_balanced",
        "kid_domain_balanced",
        "balanced_classes",
        "balanced_repeats",
        "upload_bytes",
        "download_bytes",
        "method_s",
        "stage_s",
        "total_s",
        "cpu_s",
        "flops",
        "peak_memory_bytes",
    ]


def test_these_columns_are_in_the_table_of_costs_in_this_order():
    costs = {
        "upload MB": ("upload_bytes", 1e6),
        "download MB": ("download_bytes", 1e6),
        "seconds": ("total_s", 1),
        "of stages": ("stage_s", 1),
        "CPU s": ("cpu_s", 1),
        "TFLOP": ("flops", 1e12),
        "peak MB": ("peak_memory_bytes", 1e6),
        "FID domain": ("fid_domain", 1),
        "(floor)": ("fid_domain_floor", 1),
        "FID balanced": ("fid_domain_balanced", 1),
        "IS domain": ("is_domain", 1),
        "(real)": ("is_domain_real", 1),
        "FID Inception": ("fid_inception", 1),
        "[floor]": ("fid_inception_floor", 1),
        "IS Inception": ("is_inception", 1),
        "[real]": ("is_inception_real", 1),
    }
    assert list(cost_columns().items()) == list(costs.items())


def test_every_metric_has_a_direction_or_none_and_a_meaning():
    for column, metric in METRICS.items():
        assert metric.column == column and metric.meaning
        assert metric.better in ("higher", "lower", "")


def test_every_metric_and_every_prefix_is_in_the_printed_table():
    table = columns_table()
    for column in (*first_columns(), "cpu_s", "commit", "config.<name>", "partition_<name>"):
        assert f"| `{column}` |" in table


# a cell with generated images trains the domain classifier: 2,000 steps
@pytest.mark.parametrize("method", ["fedavg", pytest.param("mosaic", marks=pytest.mark.slow)])
def test_every_column_of_a_record_is_described(method, tiny_cell, tmp_path):
    small = ["generator_steps=4", "distil_steps=2", "ngf=4", "distil_batch=30"]
    settings = dict(setting.split("=") for setting in small) if method == "mosaic" else {}
    config = configure(method, few_steps(method) | settings)
    cell = tiny_cell(method, config=config)
    session = Session(tmp_path)
    prepare(session)
    assert run_cell(cell, session).status == "done"
    rows = read_rows(done_file(session.folder(cell.suite), cell))
    assert {column for row in rows for column in row if meaning_of(column) is None} == set()
