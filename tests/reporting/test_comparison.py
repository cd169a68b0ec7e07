"""Statistics against numbers derived by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from benchmarks.reporting import comparison, names, rankings, significance


def records_of(
    accuracies: dict[str, list[float | None]], omega: float = 0.1, **more
) -> pd.DataFrame:
    """One last row per method and seed; None is a failed cell."""
    rows = []
    for method, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            row = {
                "label": method,
                "seed": seed,
                "omega": omega,
                "cell": f"{method}-{seed}-{omega}",
            }
            row |= {
                "dataset": "digits",
                "n_clients": 4,
                "widths": "full",
                "status": "done",
                "reason": "",
                "round": 1,
            }
            row |= {
                "selection": "last+validation+oracle",
                "accuracy": accuracy,
                "method_s": 10.0,
                "stage_s": 5.0,
            }
            row |= {"upload_bytes": 2e6, "download_bytes": 1e6}
            if accuracy is None:
                row |= {
                    "status": "failed",
                    "reason": "loss is not finite",
                    "selection": "",
                    "round": math.nan,
                }
            rows.append(row | more)
    return pd.DataFrame(rows).astype({"accuracy": float})


def test_summary_by_hand():
    # Mean of .70 .72 .74 is .72; deviations -.02 0 .02, so the sample variance is (.0004 + .0004)
    # / 2 = .02 ^ 2. t with 2 degrees of freedom at .975 is 4.3027, so the half width is 4.3027 *
    # .02 / sqrt(3) = .049683.
    row = comparison.summarise(records_of({"fedavg": [0.70, 0.72, 0.74, None]})).iloc[0]
    assert row["accuracy"] == pytest.approx(0.72)
    assert row["accuracy_sd"] == pytest.approx(0.02)
    assert row["accuracy_ci"] == pytest.approx(0.049683, abs=1e-6)
    assert (row["n"], row["n_failed"], row["n_skipped"]) == (3, 1, 0)
    assert row["total_s"] == 15.0
    assert math.isnan(row["fid_domain"])


def test_the_three_ways_to_pick_a_round():
    one = records_of({"fedavg": [0.5]})
    rounds = [
        one.assign(round=1, accuracy=0.6, selection="oracle"),
        one.assign(round=2, accuracy=0.55, selection="validation"),
        one.assign(round=3, accuracy=0.5, selection="last"),
        one.assign(round=4, accuracy=0.1, selection=""),
    ]
    row = comparison.summarise(pd.concat(rounds)).iloc[0]
    assert row[["accuracy", "accuracy_validation_selected", "accuracy_oracle"]].tolist() == [
        0.5,
        0.55,
        0.6,
    ]
    assert row["n"] == 1 and math.isnan(row["accuracy_sd"]) and math.isnan(row["accuracy_ci"])


def test_methods_are_in_the_order_of_METHODS_and_unknown_ones_before_the_ceiling():
    records = records_of(
        {"mine": [0.9], "centralised": [0.9], "mosaic": [0.8], "local": [0.4], "dense": [0.7]}
    )
    assert comparison.summarise(records)["label"].tolist() == [
        "local",
        "dense",
        "mosaic",
        "mine",
        "centralised",
    ]
    variant = records.assign(method=records["label"].replace("mine", "dense"))  # a label of its own
    assert names.method_order(variant) == ["local", "mine", "dense", "mosaic", "centralised"]


def test_a_seed_counted_twice_is_an_error():
    twice = pd.concat(
        [records_of({"fedavg": [0.5]}), records_of({"fedavg": [0.6]}, scale="laptop")]
    )
    with pytest.raises(ValueError, match="two 'last' rows"):
        comparison.summarise(twice)


def test_paired_t_by_hand():
    # Differences .01 .02 .03: mean .02, sd .01, t = .02 / (.01 / sqrt 3) = 2 sqrt 3 = 3.4641. With
    # 2 degrees of freedom the two-sided p is 1 - t / sqrt(t ^ 2 + 2) = 1 - 3.4641 / sqrt(14) =
    # .074180.
    records = records_of({"mosaic": [0.5, 0.6, 0.7], "dense": [0.51, 0.62, 0.73]})
    row = comparison.paired_differences(records, "mosaic").iloc[0]
    assert (row["label"], row["n"], row["holm_over"]) == ("dense", 3, 1)
    assert row["difference"] == pytest.approx(0.02)
    assert row["sd"] == pytest.approx(0.01)
    assert row["p"] == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))
    assert row["p_holm"] == row["p"] and math.isnan(row["p_wilcoxon"])


def test_pairs_need_both_seeds():
    records = records_of(
        {"mosaic": [0.5, None, 0.7], "dense": [None, 0.6, 0.8], "fedavg": [0.4, 0.5, None]}
    )
    table = comparison.paired_differences(records, "mosaic").set_index("label")
    assert table["n"].to_dict() == {"dense": 1, "fedavg": 1}
    assert table.loc["dense", "difference"] == pytest.approx(0.1)
    assert table[["sd", "ci", "p", "p_wilcoxon", "p_holm"]].isna().all(axis=None)


def test_no_spread_is_no_evidence():
    records = records_of({"mosaic": [0.5, 0.6], "same": [0.5, 0.6], "shifted": [0.52, 0.62]})
    p = comparison.paired_differences(records, "mosaic").set_index("label")["p"]
    assert p["same"] == 1.0
    assert math.isnan(p["shifted"])  # 0.52 - 0.5 and 0.62 - 0.6 differ only by rounding


def test_wilcoxon_of_six_pairs_of_one_sign():
    # All 6 differences positive: the rank sum 21 is the largest of 2 ^ 6 equally likely ones, so p
    # = 2 / 64.
    base = np.linspace(0.4, 0.5, 6)
    gains = np.array([0.01, 0.03, 0.02, 0.05, 0.04, 0.06])
    records = records_of({"mosaic": base.tolist(), "dense": (base + gains).tolist()})
    assert comparison.paired_differences(records, "mosaic")["p_wilcoxon"].iloc[0] == pytest.approx(
        2 / 64
    )
    tied = records_of(
        {"mosaic": base.tolist(), "dense": (base + 0.01 * np.array([0, 1, 1, 1, -1, 2])).tolist()}
    )
    assert math.isnan(
        comparison.paired_differences(tied, "mosaic")["p_wilcoxon"].iloc[0]
    )  # one pair is equal: 5 are left


def test_holm_by_hand():
    # Sorted .01 .03 .04: 3 * .01 = .03, then 2 * .03 = .06, then max(.06, 1 * .04) = .06. NaN is
    # not counted.
    corrected = significance.holm(np.array([0.04, 0.01, math.nan, 0.03]))
    np.testing.assert_allclose(corrected, [0.06, 0.03, math.nan, 0.06])
    np.testing.assert_allclose(significance.holm(np.array([0.6, 0.7])), [1.0, 1.0])
    assert significance.holm(np.array([])).size == 0


def test_floor_and_ceiling_are_no_part_of_the_family():
    accuracies = {"local": [0.1, 0.2, 0.4], "mosaic": [0.5, 0.6, 0.7], "dense": [0.4, 0.52, 0.63]}
    table = comparison.paired_differences(
        records_of(accuracies | {"centralised": [0.9, 0.95, 0.97]}), "mosaic"
    )
    table = table.set_index("label")
    assert table["holm_over"].unique().tolist() == [1]
    assert table["p"].notna().all()
    assert table["p_holm"].notna().to_dict() == {
        "local": False,
        "dense": True,
        "centralised": False,
    }


def test_the_tests_of_all_settings_are_one_family():
    """In one setting p = .02 for two rivals, .04 after Holm; with a second setting .08.

    Differences 1 - s, 1, 1 + s have t = sqrt(3) / s with 2 degrees of freedom.
    """
    s = math.sqrt(3) / stats.t.isf(0.01, 2)
    rival = np.array([-1 + s, -1, -1 - s]) / 10
    accuracies = {"mosaic": [0.9, 0.9, 0.9], "dense": 0.9 + rival, "fedavg": 0.9 + rival}
    alone = records_of(accuracies)
    both = pd.concat([alone, records_of(accuracies, omega=1.0)])
    for records, n, p in ((alone, 2, 0.04), (both, 4, 0.08)):
        table = comparison.paired_differences(records, "mosaic")
        assert table["holm_over"].unique().tolist() == [n]
        assert table["p_holm"].min() == pytest.approx(p)
        assert comparison.best_methods(records)["bold"].any() == (n == 2)


def test_signs_by_hand():
    """Of the 2^6 signs of six differences two give a mean as far from 0 as all of one sign."""
    six = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert significance.sign_flip_test(six) == pytest.approx(2 / 64)
    # The mean of -1 2 3 4 5 6 is below that of all positive ones, and equal to no other: 4 of 64.
    assert significance.sign_flip_test(six * [-1, 1, 1, 1, 1, 1]) == pytest.approx(4 / 64)
    assert math.isnan(significance.sign_flip_test(six[:5]))
    assert math.isnan(significance.sign_flip_test(np.ones(30)))


def test_the_probability_of_a_difference_by_hand():
    """A mean of the margin is above it with 1/2; t with 1 degree of freedom is Cauchy's: 3/4."""
    assert significance.probability_above(0.01, 0.01, 0.02, 5) == pytest.approx(0.5)
    above = significance.probability_above(0.01, 0.01 + 0.02 / math.sqrt(2), 0.02, 2)
    assert above == pytest.approx(0.75)
    assert math.isnan(significance.probability_above(0.01, 0.5, 0.0, 3))


def test_critical_difference_is_that_of_the_literature():
    """Demsar, 2006: q is 1.960 for 2 methods and 2.728 for 5, section 3.2.2, table 5."""
    assert significance.critical_difference(2, 1) == pytest.approx(1.960, abs=1e-3)
    assert significance.critical_difference(5, 30) == pytest.approx(
        2.728 / 30**0.5 * 5**0.5, rel=1e-3
    )
    assert math.isnan(significance.critical_difference(1, 10))


def test_friedman_by_hand():
    """Three methods in the same order in 4 blocks.

    The statistic is 12 n / (k (k + 1)) sum (R - 2)^2 = 4 (1 + 0 + 1) = 8, and p = e^-4.
    """
    ranks = np.tile([1.0, 2.0, 3.0], (4, 1))
    assert significance.friedman_test(ranks) == pytest.approx(math.exp(-4))
    assert math.isnan(significance.friedman_test(ranks[:, :2]))


def test_bold_only_where_sure_of_all():
    clear = {
        "mosaic": [0.80, 0.81, 0.82],
        "dense": [0.60, 0.611, 0.62],
        "fedavg": [0.5, 0.511, 0.522],
    }
    best = comparison.best_methods(records_of({"centralised": [0.9, 0.9, 0.9]} | clear)).set_index(
        "label"
    )
    assert best["best"].to_dict() == {"mosaic": True, "dense": False, "fedavg": False}
    assert best["bold"].to_dict() == {"mosaic": True, "dense": False, "fedavg": False}
    assert best["worse"].to_dict() == {"mosaic": False, "dense": True, "fedavg": True}
    close = comparison.best_methods(records_of(clear | {"rival": [0.70, 0.83, 0.84]})).set_index(
        "label"
    )
    assert close.loc["mosaic", "best"] and not close["bold"].any()
    assert not close.loc["rival", "worse"] and close.loc["fedavg", "worse"]


def test_one_seed_or_one_method_is_never_bold():
    assert not comparison.best_methods(records_of({"mosaic": [0.9], "dense": [0.1]}))["bold"].any()
    assert not comparison.best_methods(records_of({"mosaic": [0.9, 0.91]}))["bold"].any()


def test_wins_and_ranks_by_hand():
    # mosaic - dense: +.1, -.1, 0.0004 (a tie) -> 1 / 1 / 1; against fedavg, which lacks seed 2:
    # +.2, +.2.
    records = records_of(
        {"mosaic": [0.7, 0.7, 0.7], "dense": [0.6, 0.8, 0.6996], "fedavg": [0.5, 0.5, None]}
    )
    counts = rankings.win_tie_loss(records, "mosaic").set_index("label")
    assert counts.loc["dense"].tolist() == [1, 1, 1, 3]
    assert counts.loc["fedavg"].tolist() == [2, 0, 0, 2]
    # Only seeds 0 and 1 are complete: mosaic ranks 1 and 2, dense 2 and 1, fedavg 3 and 3.
    ranks = rankings.average_ranks(records).set_index("label")
    assert ranks["rank"].to_dict() == {"mosaic": 1.5, "dense": 1.5, "fedavg": 3.0}
    assert set(ranks["n"]) == {2}


def test_detectable_difference():
    # n = 34 pairs reach 80 % power at a half sd: the textbook number (power .8078 at n = 34, below
    # .8 at 33).
    assert (
        significance.detectable_difference(1.0, 34)
        < 0.5
        < significance.detectable_difference(1.0, 33)
    )
    # By integration, without the noncentral t: with n = 2, T = (Z + shift) / |W| exceeds c where Z
    # > c |W| - shift.
    critical, shift = (
        stats.t.ppf(0.975, 1),
        significance.detectable_difference(2.0, 2) / 2.0 * math.sqrt(2),
    )
    power, _ = integrate.quad(
        lambda w: 2 * stats.norm.pdf(w) * stats.norm.sf(critical * w - shift), 0, 8
    )
    assert power == pytest.approx(0.8, abs=1e-4)
    assert significance.detectable_difference(0.0, 3) == 0.0
    assert math.isnan(significance.detectable_difference(0.1, 1)) and math.isnan(
        significance.detectable_difference(math.nan, 5)
    )


def test_power_rests_on_the_differences_to_the_reference():
    records = records_of(
        {"mosaic": [0.5, 0.6, 0.7], "dense": [0.51, 0.62, 0.73]}
    )  # sd of the differences: .01
    n, least, sd = comparison.power_of(records, "mosaic")
    assert (n, sd) == (3, pytest.approx(0.01))
    assert least == pytest.approx(0.01 * significance.detectable_difference(1.0, 3))
    assert comparison.power_of(records, "absent")[0] == 0


def test_unpaired_seeds_are_found():
    records = records_of({"mosaic": [0.5, 0.6], "dense": [0.5, 0.6]}).assign(
        partition=["a", "b", "a", "c"]
    )
    assert comparison.unpaired_seeds(records) == [(0.1, 1)]


def test_no_finished_cell():
    failed = records_of({"mosaic": [None], "dense": [None]})
    assert comparison.summarise(failed)["n"].tolist() == [0, 0]
    for table in (
        comparison.paired_differences(failed, "mosaic"),
        comparison.best_methods(failed),
        rankings.win_tie_loss(failed, "mosaic"),
    ):
        assert table.empty


@pytest.mark.parametrize(
    ("counts", "text"), [([1, 1], "n = 1 seed"), ([3, 0], "n = 3 seeds"), ([], "n = 0 seeds")]
)
def test_seeds_in_words(counts, text):
    assert names.seeds_name(counts) == text


def test_seeds_that_differ_in_words():
    assert names.seeds_name([2, 3, 0]) == "n = 2 to 3 seeds"


def test_who_needs_data_or_all_models_does_not_compete():
    facts = {"feddf": (False, "proxy images"), "ensemble": (True, "all models at test")}
    facts |= {"mosaic": (True, "label counts, generators"), "dense": (np.nan, np.nan)}
    rows = [
        {"label": label, "data_free": data_free, "needs": needs}
        for label, (data_free, needs) in facts.items()
    ]
    records = pd.DataFrame([*rows, {"label": "local", "data_free": True, "needs": ""}])
    out = comparison.out_of_competition(records)
    assert set(out) == {"local", "centralised", "feddf", "ensemble"}
    assert list(comparison.competitors(records)["label"]) == ["mosaic", "dense"]
