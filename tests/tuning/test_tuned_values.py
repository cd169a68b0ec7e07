"""Every committed tuned value is the best of its committed study, on tuning seeds alone."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.planning import tuned
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import METHODS, tunable_of
from benchmarks.planning.scales import SCALES, TUNING_SEEDS_FROM
from benchmarks.planning.suite import Entry, Suite
from benchmarks.planning.toml_files import toml_of
from benchmarks.planning.tuned import Tuned, read_tuned
from benchmarks.tuning.all_plans import targets_of

STUDIES = Path(__file__).parents[2] / "results" / "tuning"
FILES = sorted(tuned.FOLDER.glob("*/*.toml"))


def problems(found: Tuned, trials: pd.DataFrame) -> list[str]:
    """What in a tuned file does not follow from its study's trials."""
    wrong = []
    parts = [name for name in trials if name.startswith("accuracy.")]
    seeds = {int(name.split(".")[1]) for name in parts}
    if seeds != set(found.study["seeds"]) or min(seeds) < TUNING_SEEDS_FROM:
        wrong.append(f"seeds are {sorted(seeds)}")
    if found.study["trials"] != found.trials or len(parts) != len(seeds) * len(
        found.study["omegas"]
    ):
        wrong.append("numbers of trials or of measurements")
    if set(found.settings) != set(trials["method"]) - set(found.study["missing"]):
        wrong.append("methods")
    for method, settings in found.settings.items():
        rows = trials[trials["method"] == method].reset_index(drop=True)
        if rows["trial"].tolist() != list(range(found.trials)):
            wrong.append(f"{method}: {len(rows)} trials")
        done: Any = rows[rows["state"] == "complete"]
        if not done[parts].mean(axis=1).round(9).equals(done["accuracy"].round(9)):
            wrong.append(f"{method}: a mean")
        best = done.loc[done["accuracy"].idxmax()]
        if json.loads(best["settings"]) != settings:
            wrong.append(f"{method}: {settings} is not the best, {best['settings']}")
        if found.validation[method]["best"] != pytest.approx(best["accuracy"]):
            wrong.append(f"{method}: its accuracy")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_tuned_value_is_the_best_of_its_study(path):
    scale, dataset = path.parent.name, path.stem
    assert scale in SCALES
    trials = pd.read_csv(STUDIES / f"all-{scale}-{dataset}" / "trials.csv")
    found = read_tuned(scale, dataset)
    assert problems(found, trials) == []
    keys = {target.name: target.keys for target in targets_of("heterogeneity")[0]}
    for name, settings in found.settings.items():
        assert tuple(settings) == keys[name], name


def test_scales_set_no_learning_rate_and_no_weight():
    """What a scale sets for methods are sizes: the rest is tuned for all alike."""
    for name, scale in SCALES.items():
        for method, settings in scale.methods.items():
            rates = [key for key in settings if key.endswith("lr") or "weight" in key]
            assert not rates, (name, method, rates)
            assert not set(settings) & set(tunable_of(METHODS[method])), (name, method)


# The test itself can fail


TRIALS = pd.DataFrame(
    {
        "method": ["fedprox"] * 3,
        "trial": [0, 1, 2],
        "state": ["complete", "failed", "complete"],
        "accuracy": [0.5, None, 0.625],
        "accuracy.1000.0.1": [0.75, None, 0.75],
        "accuracy.1000.0.01": [0.25, None, 0.5],
        "settings": ['{"mu": 0.01}', '{"mu": 1.0}', '{"mu": 0.1}'],
    }
)


def study_with(mu: float = 0.1, seeds: tuple[int, ...] = (1000,), best: float = 0.625) -> Tuned:
    return Tuned(
        3,
        {"fedprox": {"mu": mu}},
        {"seeds": seeds, "omegas": [0.1, 0.01], "trials": 3, "missing": []},
        {"fedprox": {"default": 0.5, "best": best, "trial": 2}},
    )


def renamed(seed: int) -> pd.DataFrame:
    return TRIALS.rename(columns=lambda name: name.replace("1000", str(seed)))


def test_a_value_that_is_not_the_best_trials_is_found():
    assert problems(study_with(), TRIALS) == []
    assert "fedprox: {'mu': 0.01} is not the best" in problems(study_with(mu=0.01), TRIALS)[0]
    assert problems(study_with(best=0.7), TRIALS) == ["fedprox: its accuracy"]
    assert problems(study_with(), TRIALS.iloc[:2]) == [
        "fedprox: 2 trials",
        "fedprox: {'mu': 0.1} is not the best, {\"mu\": 0.01}",
        "fedprox: its accuracy",
    ]


def test_a_reporting_seed_is_found():
    assert problems(study_with(seeds=(0,)), renamed(0)) == ["seeds are [0]"]
    assert problems(study_with(), renamed(1001)) == ["seeds are [1001]"]


# What reads the file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tuned, "FOLDER", tmp_path)
    tuned._read.cache_clear()
    (tmp_path / "quick").mkdir()
    yield tmp_path / "quick"
    tuned._read.cache_clear()


def write(folder: Path, mu: float = 0.1) -> None:
    tables = {
        "study": {"trials": 3, "seeds": [1000]},
        ("settings", "fedprox"): {"mu": mu},
        ("settings", "mosaic"): {"distil_lr": 0.002, "ngf": 8},
        ("validation", "fedprox"): {"best": 0.625},
    }
    (folder / "digits.toml").write_text(toml_of(tables))


def test_the_file_comes_after_the_scale_and_before_the_entry_and_the_command(folder):
    entries = [
        Entry(name="fedprox"),
        Entry(name="fedprox", label="own", set={"mu": 0.3}),
        Entry(name="mosaic"),
        Entry(name="mosaic", label="mosaic-source", set={"teacher": "source"}),
    ]
    suite = Suite(question="", omega=[0.1], clients=[2], seeds=[0], method=entries)

    def cells(**given):
        return {cell.label: cell for cell in expand_cells("s", suite, "quick", **given)}

    before = cells()
    assert before["fedprox"].config.mu == 0.01 and before["fedprox"].tuned_trials == 0
    tuned._read.cache_clear()
    write(folder)
    after = cells()
    assert after["fedprox"].config.mu == 0.1
    assert (after["fedprox"].tuned_settings, after["fedprox"].tuned_trials) == (("mu",), 3)
    assert after["own"] == before["own"]  # an entry's own value stays
    assert after["mosaic"].config.ngf == 8  # the scale's is 32
    assert after["mosaic-source"].config.distil_lr == 0.002
    assert cells(from_papers=True) == before
    suite = suite.model_copy(update={"tuned": False})
    assert cells() == before
    suite = suite.model_copy(update={"tuned": True})

    given = cells(settings={"fedprox": {"mu": "0.7"}}, methods=["fedprox"])["fedprox"]
    assert given.config.mu == 0.7 and given.tuned_settings == () and given.tuned_trials == 0


def test_conditional_vaes_are_the_same_for_all_methods_that_train_them(folder):
    values = tuned.Tuned(3, {"fedcvae": {"cvae_lr": 0.005}, "sda_fl": {"threshold": 0.7}})
    config = METHODS["sda_fl"].Config
    assert values.values_for(config, "sda_fl", {}) == {"threshold": 0.7}
    of_cvae = values.values_for(config, "sda_fl", {"generator": "cvae"})
    assert of_cvae == {"threshold": 0.7, "cvae_lr": 0.005}
    assert values.values_for(config, "sda_fl", {"generator": "cvae", "cvae_lr": 1e-3}) == {
        "threshold": 0.7
    }


@pytest.mark.parametrize("generator, has_rate", [("cvae", True), ("flow", False)])
def test_the_generator_that_was_tuned_decides_whether_there_are_vaes(folder, generator, has_rate):
    values = tuned.Tuned(3, {"fedcvae": {"cvae_lr": 0.005}, "mosaic": {"generator": generator}})
    config = METHODS["mosaic"].Config
    found = values.values_for(config, "mosaic", {})
    assert found == {"generator": generator} | ({"cvae_lr": 0.005} if has_rate else {})
    assert "cvae_lr" in values.values_for(config, "mosaic", {"generator": "cvae"})


def test_an_entry_that_was_tuned_by_itself_has_none_of_its_methods_values(folder):
    """Before its study has run it has them."""
    own = Entry(name="mosaic", label="own", tune=["distil_lr"])
    shared = Entry(name="mosaic", label="own")
    values = {"mosaic": {"distil_lr": 0.002, "generator_lr": 0.01}}
    assert Tuned(3, values).name_of(own) == "mosaic"
    both = Tuned(3, values | {"own": {"distil_lr": 0.5}})
    assert (both.name_of(own), both.name_of(shared)) == ("own", "mosaic")

    suite = Suite(question="", omega=[0.1], clients=[2], seeds=[0], method=[own])
    tables = {
        "study": {"trials": 3, "seeds": [1000]},
        ("settings", "mosaic"): values["mosaic"],
        ("settings", "own"): {"distil_lr": 0.5},
        ("validation", "own"): {"best": 0.625},
    }
    (folder / "digits.toml").write_text(toml_of(tables))
    [cell] = expand_cells("s", suite, "quick")
    assert (cell.config.distil_lr, cell.config.generator_lr) == (0.5, 2e-4)
    assert cell.tuned_settings == ("distil_lr",)


def test_another_data_set_has_the_papers_values(folder):
    write(folder)
    assert read_tuned("quick", "digits").trials == 3
    assert read_tuned("laptop", "digits") == read_tuned("quick", "mnist") == tuned.NOT_TUNED
    assert read_tuned("quick", "folder:x/../digits") == tuned.NOT_TUNED


def test_a_damaged_file_is_an_error_that_names_it(folder):
    (folder / "digits.toml").write_text("[settings.fedprox]\nmu = 0.1\n")
    with pytest.raises(Exception, match=r"digits.toml has not the tables study"):
        read_tuned("quick", "digits")


def test_a_file_that_is_not_toml_is_an_error_that_says_what_to_do(folder):
    (folder / "digits.toml").write_text("[settings.fedprox\n")
    with pytest.raises(Exception, match=r"not valid TOML.*write it again with python -m"):
        read_tuned("quick", "digits")
