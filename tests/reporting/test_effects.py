"""What a choice is worth, against numbers worked out by hand."""

import math

import pandas as pd
import pytest

from benchmarks.reporting import effects
from benchmarks.reporting.effects import between_runs, differing_settings, pairs_of, within_run
from mosaic.fl.errors import InputError


def run_of(accuracies, method="", **more):
    """The last rows of one run; accuracies by label and omega, one per seed."""
    rows = []
    for label, by_omega in accuracies.items():
        for omega, values in by_omega.items():
            for seed, accuracy in enumerate(values):
                where = {"label": label, "omega": omega, "seed": seed}
                where |= {"method": method or label, "cell": f"{label}-{omega}-{seed}"}
                where |= {"dataset": "digits", "n_clients": 4, "widths": "full"}
                status = {"status": "failed", "selection": ""}
                if accuracy is not None:
                    status = {"status": "done", "selection": "last+oracle"}
                rows.append({**where, **status, "round": 2, "accuracy": accuracy, **more})
    return pd.DataFrame(rows).astype({"accuracy": float})


FIRST = {"fedavg": {0.1: [0.50, 0.60, 0.70], 1.0: [0.80, 0.80, 0.80]}}
OTHER = {"fedavg": {0.1: [0.52, 0.64, 0.76], 1.0: [0.79, 0.81, None]}}


def test_the_effect_between_two_runs_by_hand():
    """Differences .02 .04 .06: sd .02, half width 4.3027 * .02 / sqrt(3) = .04968."""
    table = effects.effects(between_runs(run_of(FIRST), run_of(OTHER)))
    assert list(table["omega"][:2]) == [0.1, 1.0] and math.isnan(table["omega"][2])
    narrow = table.iloc[0]
    assert (narrow["accuracy"], narrow["other_accuracy"]) == pytest.approx((0.60, 0.64))
    assert (narrow["difference"], narrow["ci"]) == pytest.approx((0.04, 0.04968), abs=1e-5)
    assert list(table["n"]) == [3, 2, 2]  # the third seed failed at omega 1
    # over both omegas, of seeds 0 and 1: (.02 - .01) / 2 and (.04 + .01) / 2
    assert table.iloc[2]["difference"] == pytest.approx((0.005 + 0.025) / 2)


def test_a_method_is_compared_with_its_other_entries():
    plain = {"fedrolex": {0.1: [0.5, 0.6]}, "fedrolex-plain": {0.1: [0.4, 0.4]}}
    alone = {"fedavg": {0.1: [0.7, 0.7]}}
    records = pd.concat([run_of(plain, method="fedrolex"), run_of(alone)])
    assert pairs_of(records) == [("fedrolex", "fedrolex-plain")]
    (row,) = effects.effects(within_run(records, pairs_of(records))).to_dict("records")
    assert row["difference"] == pytest.approx(-0.15) and row["n"] == 2
    (row,) = effects.effects(within_run(records, [("fedavg", "fedrolex")])).to_dict("records")
    assert row["label"] == "fedavg" and row["difference"] == pytest.approx(-0.15)


def test_it_says_what_the_two_sides_differ_in():
    settings = {"task.norm": "batch", "task.rounds": 2, "config.mu": 0.1, "data_place": "here"}
    other = settings | {"task.norm": "group", "data_place": "there"}
    pairs = between_runs(run_of(FIRST, **settings), run_of(OTHER, **other))
    assert differing_settings(pairs) == ["task.norm: batch, other group"]
    (page,) = effects.effect_pages(pairs)
    assert page.notes[1] == "The two sides differ in task.norm: batch, other group."
    assert page.rows[0][:7] == ["0.1", "fedavg", "the same", "60.0", "64.0", "+4.0", "5.0"]
    assert page.rows[2][0] == "all" and page.rules == {1, 2}


def test_a_setting_that_one_method_lacks_is_a_dash():
    prox = run_of({"fedprox": FIRST["fedavg"]}, **{"config.mu": 0.1})
    pairs = within_run(pd.concat([run_of(FIRST), prox]), [("fedavg", "fedprox")])
    assert differing_settings(pairs) == ["config.mu: –, other 0.1"]
    absent = run_of(FIRST, **{"config.tau": math.nan})
    assert differing_settings(between_runs(absent, absent)) == []


def test_what_cannot_be_compared_is_an_input_error():
    first = run_of(FIRST)
    with pytest.raises(InputError, match="no finished cell in common"):
        between_runs(first, run_of({"local": {0.1: [0.5]}}))
    with pytest.raises(InputError, match="no method of this run has a second entry"):
        within_run(first, pairs_of(first))
    with pytest.raises(InputError, match="unknown label 'fedavgs'; did you mean 'fedavg'"):
        within_run(first, [("fedavg", "fedavgs")])
    with pytest.raises(InputError, match=r"two 'last' rows .*Give each run an --out of its own"):
        between_runs(pd.concat([first, first]), first)


def test_the_command_prints_the_effects_of_two_folders(tmp_path, capsys):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, accuracies in zip(folders, (FIRST, OTHER), strict=True):
        folder.mkdir()
        run_of(accuracies).to_csv(folder / "records.csv", index=False)
    assert effects.main([str(folder) for folder in folders]) == 0
    assert "| 0.1 | fedavg | the same | 60.0 | 64.0 | +4.0 | 5.0 | 3 |" in capsys.readouterr().out

    assert effects.main([str(folders[0]), str(folders[1]), "--pair", "fedavg", "local"]) == 2
    assert "--pair compares labels of one folder" in capsys.readouterr().err
    assert effects.main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere has no records; give a suite's folder" in capsys.readouterr().err


def test_an_entry_that_never_finished_leaves_the_others():
    plain = {"fedrolex": {0.1: [0.5, 0.6]}, "fedrolex-plain": {0.1: [0.4, 0.4]}}
    failed = {"fedrolex-wide": {0.1: [None, None]}}
    records = run_of(plain | failed, method="fedrolex")
    assert pairs_of(records) == [("fedrolex", "fedrolex-plain")]
    assert len(within_run(records, pairs_of(records))) == 2
    with pytest.raises(InputError, match="fedrolex and fedrolex-wide .*no finished cell in common"):
        within_run(records, [("fedrolex", "fedrolex-wide")])


def test_two_labels_without_a_cell_in_common_are_an_input_error():
    records = run_of({"fedavg": {0.1: [0.5]}, "moon": {1.0: [0.6]}})
    with pytest.raises(InputError, match="fedavg and moon .*no finished cell in common"):
        within_run(records, [("fedavg", "moon")])
