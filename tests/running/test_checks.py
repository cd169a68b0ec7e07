"""Warnings about a record: when they are given, and that joined ones can be split again."""

import pytest

from benchmarks.running.checks import join_warnings, split_warnings, warnings_of


def test_a_warning_is_given_where_its_bound_is_crossed():
    row = {"accuracy": 0.5, "accuracy_before": 0.6, "classes_covered": 0.5, "accuracy_teacher": 0.6}
    assert split_warnings(warnings_of(row)) == [
        "the generators cover 50% of the classes",
        "distillation did harm: from 60.0% to 50.0%",
    ]
    assert warnings_of({"accuracy": 0.6, "accuracy_before": 0.6}) == ""


def test_ordinary_warnings_are_joined_by_semicolons_as_in_older_records():
    assert join_warnings([]) == "" and join_warnings(["a: b"]) == "a: b"
    assert join_warnings(["a", "b, c"]) == "a; b, c"


@pytest.mark.parametrize(
    "texts", [[], ["a"], ["a", "b"], ["a; b", "c"], ["a; "], ["[1, 2]"], ["[a", "b]"], ["", "ü"]]
)
def test_what_was_joined_is_split_into_the_same_texts(texts):
    assert split_warnings(join_warnings(texts)) == texts


def test_a_missing_value_has_no_warnings():
    assert split_warnings(None) == split_warnings(float("nan")) == split_warnings("") == []
