"""A user's metric file: what it must have, and that it joins the table of metrics."""

import hashlib

import pytest

from benchmarks.metrics import metric_file
from benchmarks.metrics.columns import METRICS, averaged_columns, cost_columns, first_columns
from benchmarks.metrics.metric_file import load_metric_file
from mosaic.fl.errors import InputError

GOOD = '''"""Expected calibration error."""

COLUMN = "ece"
UNIT = ""
BETTER = "lower"
HEADING = "ECE"


def measure(predict, images, labels, n_classes):
    return 0.5
'''


@pytest.fixture(autouse=True)
def metrics_as_before(monkeypatch):
    monkeypatch.setattr(metric_file, "LOADED", {})
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "calibration.py"
    path.write_text(GOOD)
    return path


def test_a_loaded_metric_has_a_name_with_its_hash_and_joins_the_table(path):
    digest = hashlib.sha256(GOOD.encode()).hexdigest()
    assert load_metric_file(path) == f"calibration-{digest[:12]}"
    assert METRICS["ece"].better == "lower"
    assert METRICS["ece"].meaning == "Expected calibration error."
    assert averaged_columns()[-1] == "ece" and cost_columns()["ECE"] == ("ece", 1)
    assert "ece" not in first_columns()


def test_a_metric_may_be_loaded_twice_and_a_changed_file_replaces_it(path):
    first = load_metric_file(str(path))
    assert load_metric_file(path) == first
    path.write_text(GOOD.replace('"ece"', '"calibration_error"'))
    second = load_metric_file(path)
    assert second != first and list(metric_file.LOADED) == [second]
    assert "ece" not in METRICS and "calibration_error" in METRICS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"""Expected calibration error."""', "", "no docstring; add one sentence"),
        ('COLUMN = "ece"', "", 'no text COLUMN; add: COLUMN = "ece"'),
        ('UNIT = ""', "", 'no text UNIT; add: UNIT = ""'),
        ('BETTER = "lower"', "", 'no text BETTER; add: BETTER = "lower"'),
        ('HEADING = "ECE"', "HEADING = 3", 'no text HEADING; add: HEADING = "ECE"'),
        ("def measure", "def measured", "no function measure; add: def measure"),
        ('"lower"', '"less"', "BETTER is 'less'; it must be"),
        ('"ece"', '"e c e"', "COLUMN is 'e c e'; it must be a name"),
        ('"ece"', '"accuracy"', "the column 'accuracy' exists already"),
        ('"ece"', '"commit"', "the column 'commit' exists already"),
        ('"ece"', '"diag_ece"', "the column 'diag_ece' exists already"),
        ('"ECE"', '"seconds"', "the heading 'seconds' exists already"),
        ("return 0.5", "return (", "does not run: SyntaxError"),
    ],
)
def test_a_wrong_metric_file_is_explained(path, old, new, message):
    path.write_text(GOOD.replace(old, new))
    before = dict(METRICS)
    with pytest.raises(InputError) as error:
        load_metric_file(path)
    assert message in str(error.value) and "calibration.py" in str(error.value)
    assert before == METRICS


def test_a_missing_metric_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the metric file .*: No such file"):
        load_metric_file(tmp_path / "none.py")
    (tmp_path / "metric.txt").write_text(GOOD)
    with pytest.raises(InputError, match=r"must end in \.py"):
        load_metric_file(tmp_path / "metric.txt")
