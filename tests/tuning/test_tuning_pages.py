"""What the tuner writes: figures, best.toml for the benchmark, and whether tuning gained on fresh seeds."""

import re
import tomllib
from pathlib import Path

import pytest
from oracle import tuned

from benchmarks import run as benchmark
from benchmarks.tuning.space import toml_of


def planned(capsys, *given: str) -> str:
    capsys.readouterr()
    assert (
        benchmark.main(
            ["--dry-run", "--seeds", "1", "--omega", "0.1", "--methods", "mosaic", *given]
        )
        == 0
    )
    return capsys.readouterr().out


def test_best_toml_goes_back_into_the_benchmark_as_set_would(tmp_path, capsys):
    out, third = ["--out", str(tmp_path)], 1 / 3
    file = tmp_path / "best.toml"
    file.write_text(
        toml_of(
            "mosaic", {"lambda_d": third, "distil_lr": 1e-05, "k": 3, "teacher": "source"}, ["why"]
        )
    )
    assert tomllib.loads(file.read_text())["mosaic"] == {
        "lambda_d": third,
        "distil_lr": 1e-05,
        "k": 3,
        "teacher": "source",
    }
    by_set = [
        f"--set=mosaic.{t}"
        for t in (f"lambda_d={third!r}", "distil_lr=1e-05", "k=3", "teacher=source")
    ]
    with_file, with_set = (
        planned(capsys, *out, "--params", str(file)),
        planned(capsys, *out, *by_set),
    )
    assert with_file == with_set != planned(capsys, *out)
    # what is set on the command line comes after the file
    assert planned(capsys, *out, "--params", str(file), "--set", "mosaic.k=4") == planned(
        capsys, *out, *by_set, "--set", "mosaic.k=4"
    )


@pytest.mark.parametrize(
    "content, wanted", [(None, "cannot read --params"), ("[mosaic", "not valid TOML"), ("k = 3", "is in no table"),
                        ("[mosiac]\nk = 3", "did you mean 'mosaic'"), ("[mosaic]\nkk = 3", "unknown setting")]
)  # fmt: skip
def test_a_wrong_file_of_parameters_is_explained(content, wanted, tmp_path, capsys):
    if content:
        (tmp_path / "p.toml").write_text(content)
    assert (
        benchmark.main(["--dry-run", "--out", str(tmp_path), "--params", str(tmp_path / "p.toml")])
        == 2
    )
    assert wanted in " ".join(capsys.readouterr().err.split())


def test_the_figures_are_drawn(tmp_path, figures):
    assert (
        tuned(
            tmp_path,
            "--trials",
            "10",
            "--space",
            "kind=good,bad",
            "--objective",
            "accuracy,seconds",
        )
        == 0
    )
    drawn = {path.name for path in (tmp_path / "tuning" / "s" / "figures").iterdir()}
    names = ("history", "importances", "slices", "contour", "pareto")
    assert drawn == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}


def test_a_study_of_one_trial_or_of_equal_results_has_the_figures_it_can(tmp_path, figures):
    assert tuned(tmp_path, "--trials", "1") == 0
    assert (
        tuned(tmp_path, "--study", "equal", "--trials", "5", "--space", "a=-60:-50", "--only", "a")
        == 0
    )
    for study in ("s", "equal"):
        assert {path.stem for path in (tmp_path / "tuning" / study / "figures").iterdir()} == {
            "history",
            "slices",
        }


def page(tmp_path: Path, *more: str) -> str:
    assert tuned(tmp_path, *more, "--stability-seeds", "3") == 0
    return (tmp_path / "tuning" / "s" / "stability.md").read_text()


def test_stability_says_where_tuning_gains(tmp_path):
    said = page(tmp_path, "--trials", "12")
    assert "**Tuning gains: on 3 fresh seeds" in said and "fresh seeds 0, 1, 2 (test set)" in said
    assert said.count("| trial ") == 5 and "| default | 0 | 1 |" in said


def test_stability_says_where_no_setting_is_better(tmp_path):
    said = page(tmp_path, "--trials", "6", "--space", "nap=0:1e-4", "--only", "nap")
    assert (
        "**Tuning does not gain: no other setting beat the default on the tuning seeds. Keep the default.**"
        in said
    )


def test_stability_finds_out_what_was_luck(tmp_path):
    """The winner of ten settings that differ by luck alone is ahead on the seeds that chose it, not on fresh ones."""
    said = page(
        tmp_path, "--trials", "11", "--space", "draw=0:99", "--only", "draw", "--sampler", "random"
    )
    assert (
        "**No gain is shown: on 3 fresh seeds" in said
        and "Keep the default unless more seeds say otherwise" in said
    )
    assert (
        "With 3 seeds only a difference of about" in said
        and "chance had a share in the choice" in said
    )
    chosen, fresh = (
        float(x)
        for x in re.search(r"by (\S+) points on the tuning.*by (\S+) points", said).groups()
    )
    assert chosen > fresh
