"""The page of the paper's claims and questions names suites, entries, settings and columns that
exist."""

import re
from pathlib import Path

from benchmarks.metrics.columns import meaning_of
from benchmarks.planning.scales import SCALES
from benchmarks.planning.suite import read_suite, suite_names
from mosaic.fl.data.datasets import DATASETS
from mosaic.method import Config

PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()
COMMANDS = re.findall(r"`(--suite [^`]*)`", PAGE)


def labels() -> set[str]:
    entries = [entry for name in suite_names() for entry in read_suite(name)[1].method]
    return {entry.title for entry in entries}


def test_commands_name_suites_scales_and_data_sets_that_exist():
    assert len(COMMANDS) > 20
    for command in COMMANDS:
        options = dict(re.findall(r"--(suite|scale|datasets) (\S+)", command))
        assert options["suite"] in suite_names(), command
        assert options.get("scale", "quick") in SCALES, command
        for dataset in options.get("datasets", "digits").split(","):
            assert dataset in DATASETS, command
        for setting in re.findall(r"mosaic\.(\w+)=", command):
            assert hasattr(Config, setting), command


def test_each_question_of_a_suite_is_on_the_page():
    new = {"budget", "generator_check", "expert_weights", "meta_training", "ablation"}
    new |= {"lambda_sweep", "scalability", "scalability_tenth"}
    assert new <= {command.split()[1] for command in COMMANDS}


def test_entries_and_columns_exist():
    known = labels() | {"mosaic"}
    for name in re.findall(r"`(mosaic-[\w-]+)`", PAGE):
        assert name in known, name
    columns = re.findall(r"`((?:diag_|accuracy_|client_|collapsed_|fid_|is_|duplicate_)\w+)`", PAGE)
    assert columns
    for column in columns:
        assert meaning_of(column), column


def test_every_row_says_what_came_out():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    for row in rows:
        assert row.rstrip("| ").rsplit("|", 1)[1].strip(), row
