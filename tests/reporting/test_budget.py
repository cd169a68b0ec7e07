"""The page that says what each method was given: counted steps, declared needs, sent payloads."""

import dataclasses

import pandas as pd
import pytest

from benchmarks.planning.methods import METHODS, facts_of
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.print_budget import main


def record(method: str, seed: int = 0, **facts) -> dict:
    where = {"dataset": "digits", "n_clients": 4, "widths": "full", "omega": 0.1, "seed": seed}
    where |= {
        "label": method,
        "cell": f"{method}{seed}",
        "status": "done",
        "selection": "last",
        "round": 20,
    }
    return where | {"task.rounds": 20} | facts


def page_of(*records: dict) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in budget_page(pd.DataFrame(records)).rows}


def test_steps_are_counted_per_client_or_at_the_server():
    """800 local steps of 4 clients: 200 each. 1,000 of their generators: 250 each. Drawing and
    queries are no steps.
    """
    given = {
        "steps_train": 800,
        "steps_generator": 1000,
        "steps_distil": 150,
        "steps_synthesis": 30,
    }
    given |= {"steps_draw": 99, "steps_ensemble": 98, "steps_predict": 97}
    mosaic = record(
        "mosaic", **given, protocol="once, after the rounds", data_free=True, student="average"
    )
    pooled = record(
        "centralised", steps_train=800, protocol="none", data_free=False, upload_bytes_data=5.0
    )
    mosaic |= {"student_norms": "kept", "upload_bytes_model": 8.0}
    sent = {"download_bytes_model": 8.0, "download_bytes_images": 3.0, "download_bytes_c": 0.0}
    rows = page_of(mosaic | sent, pooled)
    steps = ["20", "200", "250", "180"]
    assert rows["mosaic"] == ["yes", *steps, "average", "kept", "model", "model, images", "–"]
    assert rows["centralised"] == ["no", "–", "200", "–", "–", "–", "–", "data", "–", "–"]


def test_values_that_differ_between_cells_are_a_range():
    """Local epochs make as many steps as a client has batches: 400 and 440 steps of 4 clients."""
    rows = page_of(
        *(
            record("dense", seed, steps_train=400 + 40 * seed, protocol="one upload")
            for seed in (0, 1)
        )
    )
    assert rows["dense"] == ["–", "1", "100 to 110", *["–"] * 7]


def test_what_was_tuned_is_told_with_its_number_of_trials():
    not_tuned = {"tuned_settings": "", "tuned_trials": 0}
    rows = page_of(
        record("dense", tunable="synthesis_lr student_lr", **not_tuned),
        record("moon", tunable="mu tau", tuned_settings="mu tau", tuned_trials=8),
        record("local", tunable="", **not_tuned),
        record("fedprox", 0, tunable="mu", tuned_settings="mu", tuned_trials=8),
        record("fedprox", 1, tunable="mu", tuned_settings="mu", tuned_trials=16),
    )
    assert {method: row[-1] for method, row in rows.items()} == {
        "dense": "not tuned",
        "moon": "mu, tau: 8 trials",
        "local": "–",
        "fedprox": "mu: 8 trials | mu: 16 trials",
    }


def test_the_printed_page_has_labels_that_look_like_numbers_or_nothing(tmp_path, capsys):
    labels = ["NA", "1", "null"]
    path = tmp_path / "records.csv"
    rows = [record("fedavg", seed) | {"label": label} for seed, label in enumerate(labels)]
    pd.DataFrame(rows).to_csv(path, index=False)
    main([str(path)])
    printed = capsys.readouterr().out
    assert all(f"| {label} |" in printed for label in labels)


def test_records_without_these_facts_have_an_empty_page():
    assert page_of(record("fedavg"))["fedavg"] == ["–"] * 10
    note, _ = budget_page(pd.DataFrame([record("fedavg")])).notes
    assert note.startswith("Local steps")


def test_a_note_says_where_the_numbers_of_steps_come_from():
    """Methods from outside have the share of "paper" beside others with an equal budget."""
    equal = record("dense", budget="equal", client_budget=6.0, server_budget=3.0)
    paper = record("own", budget="paper", client_work=0.5, server_work=0.1)
    first, *_ = budget_page(pd.DataFrame([equal])).notes
    assert "same for all methods: 6 times" in first and "and 3 times at the server" in first
    first, *_ = budget_page(pd.DataFrame([paper])).notes
    assert first.startswith("Steps beyond") and "50 % at the clients and 10 % at the" in first
    first, second, *_ = budget_page(pd.DataFrame([equal, paper])).notes
    assert "6 times" in first and second.startswith("Those of methods from outside")


def test_settings_of_one_table_are_named_with_what_batchnorm_does_in_each():
    full, mixed = (
        record("fedavg", **{"widths": w, "task.batch_norm": b})
        for w, b in [("full", "average"), ("mixed", "batch")]
    )
    page = budget_page(pd.DataFrame([full, mixed]))
    assert page.caption.endswith(
        "on digits, 4 clients, full width; digits, 4 clients, mixed widths"
    )
    assert len(page.rows) == 1
    assert (
        "averaged like weights (full width), the batch's own statistics (mixed widths)"
        in page.notes[-1]
    )


@pytest.mark.parametrize(
    "method, settings, protocol, student",
    [
        ("dense", {}, "once, after the rounds", ("average", "trained")),
        ("dense", {"student": "random"}, "once, after the rounds", ("random", "trained")),
        ("dense", {"protocol": "every round"}, "every round", ("average", "kept")),
        ("mosaic", {"protocol": "oneshot"}, "one upload", ("average", "kept")),
        ("prototype_head", {"protocol": "oneshot"}, "one upload", ("average", "kept")),
        ("mosaic_feedback", {"protocol": "oneshot"}, "two uploads", ("", "")),  # images between
        ("mosaic_feedback", {"begin": 0.5}, "once, between the rounds", ("", "")),
        ("mosaic_feedback", {"begin": 0.5, "refresh": 2}, "every few rounds", ("", "")),
        ("fedavg", {}, "every round", ("", "")),
    ],
)
def test_facts_follow_the_settings(method, settings, protocol, student):
    facts = facts_of(method, dataclasses.replace(METHODS[method].Config(), **settings))
    assert (facts["protocol"], (facts["student"], facts["student_norms"])) == (protocol, student)
