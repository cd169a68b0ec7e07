"""The type and the unit of each column."""

import pytest

from benchmarks.metrics.column_types import described_columns, kind_of, unit_of


@pytest.mark.parametrize(
    "column, kind, unit",
    [
        ("accuracy", "number", ""),
        ("accuracy_expert_3", "number", ""),
        ("seed", "integer", ""),
        ("fidelity_n_asked", "integer", "images"),
        ("upload_bytes", "integer", "byte"),
        ("upload_bytes_model", "integer", "byte"),
        ("stage_s_warm_up", "number", "s"),
        ("flops_train", "number", "FLOP"),
        ("steps_train", "number", ""),
        ("omega", "number", ""),
        ("data_free", "truth", ""),
        ("class_accuracy", "text", ""),
        ("task.lr", None, ""),
        ("unknown", None, ""),
    ],
)
def test_a_column_has_one_type_and_one_unit(column, kind, unit):
    assert (kind_of(column), unit_of(column)) == (kind, unit)


def test_a_record_has_no_total_of_seconds():
    assert "total_s" not in described_columns()
    assert all(kind_of(column) for column in described_columns())
