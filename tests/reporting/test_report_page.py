"""report.html: what it says, that texts of users stay texts, and that a part may fail alone."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_folders import made_records
from odd_labels import ODD, labelled

from benchmarks.reporting.page.accuracy_charts import against_omega
from benchmarks.reporting.page.answer import answer, leads
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.cost_charts import against_cost, pareto
from benchmarks.reporting.page.repeat import command
from benchmarks.reporting.page.sources import FOLDER, Sources
from benchmarks.reporting.page.write import page_of, write_page

SCRIPT = "<script>alert(1)</script>"


def sources(records: pd.DataFrame) -> Sources:
    return Sources(records.assign(**{FOLDER: "made"}), [Path("made")])


def text_of(records: pd.DataFrame) -> str:
    failures = []
    page = page_of(sources(records), "mosaic", failures)
    assert failures == []
    return page


def test_the_answer_has_the_difference_to_the_best_other_method_with_its_interval():
    # mosaic - fedavg: 2, 3, 4 points; t(2, .975) = 4.303, sd 1: half width 4.303 / sqrt(3) = 2.48
    records = made_records(
        {"fedavg": [0.5, 0.5, 0.5], "mosaic": [0.52, 0.53, 0.54], "moon": [0.1] * 3}
    )
    context = Context(records, "mosaic")
    [lead] = leads(context)
    assert (lead.other, round(lead.points, 6), round(lead.ci, 2)) == ("fedavg", 3.0, 2.48)
    who, how_much, not_established = answer(context)["sentences"]
    assert "by the highest mean accuracy: mosaic in 1 of 1" in who
    assert "mosaic is at +3.0 [+0.5, +5.5] against fedavg" in how_much
    assert not_established.startswith("Not established: 0 of the 2 differences")


def test_one_seed_establishes_nothing():
    context = Context(made_records({"fedavg": [0.5], "mosaic": [0.6]}), "mosaic")
    _, how_much, not_established = answer(context)["sentences"]
    assert "+10.0 [one seed: no interval]" in how_much
    assert "no difference here is established" in not_established


def test_records_without_a_finished_cell_give_a_page_that_says_so():
    records = made_records({"fedavg": [np.nan]}, status="failed", reason="a loss > 1", selection="")
    page = text_of(records)
    assert "No method has finished a cell yet, so there is no answer (1 failed)." in page
    assert "a loss &gt; 1" in page


def test_the_pareto_front_has_no_method_that_another_beats_in_both_and_no_floor():
    rows = pd.DataFrame(
        {
            "label": ["local", "cheap", "worse", "good", "equal", "best"],
            "cost": [0.1, 1.0, 2.0, 3.0, 3.5, 9.0],
            "accuracy": [0.9, 0.5, 0.4, 0.7, 0.7, 0.8],
        }
    )
    assert rows.loc[pareto(rows), "label"].tolist() == ["cheap", "good", "best"]


def test_methods_on_the_front_are_numbered_from_the_cheapest_on_and_named_below_the_figure():
    spent = {"dear": (9e6, 0.8), "cheap": (1e6, 0.5), "mosaic": (3e6, 0.4), "good": (2e6, 0.7)}
    frames = []
    for label, (upload, accuracy) in spent.items():
        frames.append(made_records({label: [accuracy]}, upload_bytes=upload))
    [chart] = against_cost(Context(pd.concat(frames, ignore_index=True), "mosaic"), "bytes")
    assert "better): 1 cheap, 2 good, 3 dear." in chart.summary
    values = json.loads(chart.json)["data"]["values"]
    names = {value["label"]: value["name"] for value in values}
    assert names == {"cheap": "1", "good": "2", "dear": "3", "mosaic": "mosaic"}


def test_an_interval_of_one_seed_has_no_width():
    [chart] = against_omega(Context(made_records({"fedavg": [0.5]}), "mosaic"))
    [value] = json.loads(chart.json)["data"]["values"]
    assert (value["low"], value["y"], value["high"]) == (50, 50, 50)


@pytest.mark.parametrize("place", ["label", "dataset", "reason", "warnings", "suite", "processor"])
def test_markup_in_a_users_text_is_text(place):
    records = made_records({"fedavg": [0.5, 0.6], "mosaic": [0.4, 0.6]}, **{place: SCRIPT})
    if place == "label":
        records = made_records({SCRIPT: [0.5, 0.6], "mosaic": [0.4, 0.6]})
    page = text_of(records)
    assert SCRIPT not in page
    assert "</script>alert" not in page
    if place != "reason":  # of a finished cell it is not shown
        assert "&lt;script&gt;alert(1)" in page


def test_odd_labels_give_a_whole_page_whose_figures_are_json():
    page = text_of(labelled(ODD))
    specs = re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    assert len(specs) >= 6
    for spec in specs:
        assert "NaN" not in spec
        json.loads(spec)


def test_a_section_that_fails_is_named_and_the_others_are_there(tmp_path, monkeypatch):
    def broken(context):
        raise RuntimeError("no <b>ranks</b>")

    monkeypatch.setattr("benchmarks.reporting.page.write.rank_diagram", broken)
    records = made_records({"fedavg": [0.5, 0.6], "mosaic": [0.4, 0.6]})
    failures = []
    path = write_page(sources(records), "mosaic", tmp_path / "report.html", failures)
    assert [failure.part for failure in failures] == ["report.html: Mean ranks"]
    page = path.read_text()
    assert "Not everything here could be made. RuntimeError: no &lt;b&gt;ranks&lt;/b&gt;" in page
    assert "Paired differences: digits" in page


def test_the_page_asks_for_nothing_from_the_network():
    page = text_of(made_records({"fedavg": [0.5], "mosaic": [0.6]}))
    body = page[: page.rindex("<script>", 0, page.index("vegaEmbed"))]
    assert not re.search(r'(?:src|href)="(?!#|data:)', body)
    assert "default-src 'none'" in body


def test_the_fairness_section_has_what_each_method_computes():
    spent = {"client_spent": 1.5, "client_budget": 3.0, "server_spent": 0.5, "server_budget": 1.0}
    page = text_of(made_records({"dense": [0.5], "mosaic": [0.6]}, **spent))
    fairness = page[page.index('id="fairness"') : page.index('id="tables"')]
    assert "What each method was given on digits" in fairness
    assert "What each method computes on digits" in fairness
    assert '<td class="number">50 %</td>' in fairness


def test_a_given_split_is_named_as_one_everywhere():
    given = {"task.law": "file", "status": "failed", "reason": "a loss > 1", "selection": ""}
    records = made_records({"mosaic": [np.nan]}, omegas=(np.inf,), **given)
    page = text_of(records)
    assert "mosaic, digits, 4 clients, full width, given split, seed 0" in page
    assert "ω given split" not in page


def test_the_command_of_a_cell_names_its_setting():
    records = made_records({"my 'x'": [0.5, 0.6]}, omegas=(0.1, float("inf")), precision="fp32")
    assert command(records) == (
        "python -m benchmarks.run --suite made --scale quick --methods 'my '\"'\"'x'\"'\"'' "
        "--datasets digits --clients 4 --widths full --omega 0.1,inf --seeds 0,1, "
        "--precision fp32 --params settings.toml"
    )
