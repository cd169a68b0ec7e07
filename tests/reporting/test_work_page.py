"""The page of what each method computes, and the one that compares the two budgets."""

import pandas as pd

from benchmarks.reporting.pages.order import OtherBudget, order_page, turned_pairs
from benchmarks.reporting.pages.work import work_page
from benchmarks.reporting.report import with_other_budget
from benchmarks.reporting.tables import write_tables

SETTING = ("digits", 4, "full")


def record(label: str, accuracy: float = 0.5, seed: int = 0, omega: float = 0.1, **facts) -> dict:
    where = {"dataset": "digits", "n_clients": 4, "widths": "full", "omega": omega, "seed": seed}
    where |= {"label": label, "method": label, "cell": f"{label}{omega}{seed}", "status": "done"}
    return where | {"selection": "last", "round": 20, "accuracy": accuracy} | facts


def rows_of(*records: dict) -> dict[str, list[str]]:
    page = work_page(pd.DataFrame(records), SETTING)
    assert page is not None
    return {row[0]: row[1:] for row in page.rows}


def test_shares_of_the_budget_and_of_the_papers_images():
    """2.97 of a budget of 3 is 99 %; fedavg has nothing to spend it on."""
    mosaic = record("mosaic", client_spent=2.97, server_spent=0.2, client_share=0.0125)
    mosaic |= {"client_budget": 3.0, "server_budget": 1.0, "server_share": 1.0}
    mosaic |= {"config.ngf": 16.0, "config.generator_batch": 64.0, "config.distil_batch": 64.0}
    fedavg = record("fedavg", client_spent=0.0, server_spent=0.0, client_budget=3.0)
    rows = rows_of(mosaic, fedavg)
    assert rows["fedavg"] == ["–"] * 7
    sizes = "ngf 16 (64), distil_batch 64 (320)"
    assert rows["mosaic"] == ["2.97", "99 %", "1.2 %", "0.2", "20 %", "100 %", sizes]


def test_values_that_differ_between_seeds_are_a_range_and_no_budget_is_a_dash():
    both = (record("dfrd", seed=s, client_spent=0.0, server_spent=1.0 + s) for s in (0, 1))
    assert rows_of(*both)["dfrd"][3:5] == ["1 to 2", "–"]


def test_a_method_above_its_budget_is_named():
    within = record("mosaic", client_spent=6.1, server_spent=3.0)
    above = record("dense", client_spent=0.0, server_spent=7.44)
    rows = [row | {"client_budget": 6.0, "server_budget": 3.0} for row in (within, above)]
    page = work_page(pd.DataFrame(rows), SETTING)
    assert page is not None and len(page.notes) == 2
    assert page.notes[1].startswith("Above the budget: dense (248 % at the server).")
    assert work_page(pd.DataFrame(rows[:1]), SETTING).notes == page.notes[:1]


def test_records_from_before_there_were_budgets_have_no_such_page():
    assert work_page(pd.DataFrame([record("fedavg")]), SETTING) is None


def order_of(own: list[dict], other: list[dict]):
    others = OtherBudget("equal", "paper", pd.DataFrame(other))
    return order_page(pd.DataFrame(own), others, SETTING)


def test_ranks_and_the_pairs_that_turn_round():
    """At omega 0.1 dense and feddf change places; at 1 nothing does. The floor has no rank."""
    own = [record(label, a) for label, a in [("local", 0.1), ("feddf", 0.7), ("mosaic", 0.9)]]
    own += [record("dense", 0.8), record("mosaic", 0.9, omega=1.0), record("dense", 0.8, omega=1.0)]
    other = [row | {"accuracy": {"dense": 0.6}.get(row["label"], row["accuracy"])} for row in own]
    page = order_of(own, other)
    assert page.header == ["method", "ω 0.1", "ω 1"]
    assert page.rows == [["feddf", "3 → 2", "–"], ["dense", "2 → 3", "2"], ["mosaic", "1", "1"]]
    assert page.notes[1] == (
        "ω 0.1: 1 of 3 pairs; the first is ahead with equal, the second with paper: dense / feddf."
    )
    assert page.notes[2] == "ω 1: all 2 methods have the same order with both budgets."


def test_only_seeds_that_both_have_count():
    """On seed 0 alone dense is ahead with both budgets; seed 1 has no partner."""
    own = [record("dense", 0.6), record("feddf", 0.5), record("dense", 0.0, seed=1)]
    other = [record("dense", 0.7), record("feddf", 0.5)]
    assert "same order" in order_of(own, other).notes[1]
    assert order_of(own, [record("dense")]) is None
    elsewhere = [row | {"widths": "mixed"} for row in other]
    assert order_of(own, elsewhere) is None


def test_a_tie_turns_no_pair_round():
    means = pd.DataFrame({"accuracy": [0.5, 0.5], "accuracy_other": [0.4, 0.6]}, index=["a", "b"])
    assert list(turned_pairs(means)) == []


def test_the_report_compares_with_the_folder_beside_it(tmp_path, make_records):
    """DENSE is behind FedAvg, and ahead of it with the other budget."""
    own = make_records()
    gain = 0.1 * (own["label"] == "dense")
    other = own.assign(accuracy=own["accuracy"] + gain)
    folder, paper = tmp_path / "mine", tmp_path / "mine-paper"
    assert with_other_budget(folder) is None
    for place, records in ((folder, own), (paper, other)):
        place.mkdir()
        records.to_csv(place / "records.csv", index=False)
    write_tables(own, folder, others=with_other_budget(folder))
    write_tables(other, paper, others=with_other_budget(paper))
    assert "ahead with equal, the second with paper: fedavg_x / dense" in read(folder)
    assert "ahead with paper, the second with equal: dense / fedavg_x" in read(paper)


def read(folder) -> str:
    return (folder / "table.md").read_text().replace("\\", "")
