"""The tuner's files: figures, best.toml for the benchmark, and the page of its check."""

import re
import tomllib
from pathlib import Path

import matplotlib
import pytest
from optuna.distributions import CategoricalDistribution
from oracle import study_folder, tuned

from benchmarks import run as benchmark
from benchmarks.planning.toml_files import toml_of
from benchmarks.reporting.figures.look import LOOK
from benchmarks.reporting.figures.style import new_panels
from benchmarks.tuning.figure_parts import label_axis

SETTINGS = {"lambda_d": 1 / 3, "distil_lr": 1e-05, "k": 3, "teacher": "source"}


def dry_run(capsys, out: Path, *options: str) -> str:
    """What the benchmark prints about Mosaic's cells with these options."""
    capsys.readouterr()
    common = ["--dry-run", "--seeds=1", "--omega=0.1", "--methods=mosaic", f"--out={out}"]
    assert benchmark.main([*common, *options]) == 0
    return capsys.readouterr().out


def test_best_toml_goes_back_into_the_benchmark_as_set_would(tmp_path, capsys):
    file = tmp_path / "best.toml"
    file.write_text(toml_of({"mosaic": SETTINGS}, ["why"]))
    assert tomllib.loads(file.read_text())["mosaic"] == SETTINGS

    by_set = [
        f"--set=mosaic.lambda_d={1 / 3!r}",
        "--set=mosaic.distil_lr=1e-05",
        "--set=mosaic.k=3",
        "--set=mosaic.teacher=source",
    ]
    with_file = dry_run(capsys, tmp_path, f"--params={file}")
    assert with_file == dry_run(capsys, tmp_path, *by_set)
    assert with_file != dry_run(capsys, tmp_path)

    # A setting on the command line takes precedence over the file, and the command says so.
    k = "--set=mosaic.k=4"
    warning, _, with_both = dry_run(capsys, tmp_path, f"--params={file}", k).partition("\n")
    assert warning == (
        f"mosaic.k is given twice: 3 (--params {file}), then 4 (--set); the last one counts"
    )
    assert with_both == dry_run(capsys, tmp_path, *by_set[:2], by_set[3], k)


WRONG_FILES = [
    (None, "cannot read --params"),
    ("[mosaic", "not valid TOML"),
    ("k = 3", "is in no table"),
    ("[mosiac]\nk = 3", "did you mean 'mosaic'"),
    ("[mosaic]\nkk = 3", "unknown setting"),
]


@pytest.mark.parametrize("content, message", WRONG_FILES)
def test_a_wrong_file_of_parameters_is_explained(content, message, tmp_path, capsys):
    file = tmp_path / "p.toml"
    if content is not None:
        file.write_text(content)
    assert benchmark.main(["--dry-run", f"--out={tmp_path}", f"--params={file}"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def figure_names(out: Path, study: str = "s") -> set[str]:
    return {path.name for path in (study_folder(out, study) / "figures").iterdir()}


def as_png_and_svg(*names: str) -> set[str]:
    return {f"{name}.png" for name in names} | {f"{name}.svg" for name in names}


def test_the_figures_are_drawn(tmp_path, figures):
    more = ["--trials=10", "--space=kind=good,bad", "--objective=accuracy,seconds"]
    assert tuned(tmp_path, *more) == 0
    names = ("history", "importances", "slices", "contour", "pareto")
    assert figure_names(tmp_path) == as_png_and_svg(*names)


def test_choices_of_any_characters_are_ticks_of_their_axis():
    choices = ["Ba$$in", r"a$\foo$b", "中", "every round", "x" * 40]
    with matplotlib.rc_context(LOOK):
        figure, (axes,) = new_panels([""], (2.5, 2.0), "", "")
        label_axis(axes, "x", "λ_$x$", CategoricalDistribution(choices))
        figure.draw_without_rendering()
    shown = ["".join(tick.get_text().split()) for tick in axes.get_xticklabels()]
    assert shown == ["Ba$$in", r"a$\foo$b", r"\u4e2d", "everyround", "x" * 40]
    assert axes.get_xlabel() == "λ_$x$"


def test_a_figure_that_fails_stops_neither_the_others_nor_best_toml(
    tmp_path, figures, monkeypatch, capsys
):
    def broken(*_):
        raise ValueError("no slices")

    monkeypatch.setattr("benchmarks.tuning.figures.slices_figure", broken)
    assert tuned(tmp_path, "--trials", "1") == 1
    assert figure_names(tmp_path) == as_png_and_svg("history")
    assert (study_folder(tmp_path) / "best.toml").exists()
    printed = " ".join(capsys.readouterr().out.split())
    assert "missing in the report: figures/slices: ValueError: no slices" in printed


def test_a_study_of_one_trial_has_a_history_and_slices(tmp_path, figures):
    assert tuned(tmp_path, "--trials", "1") == 0
    assert figure_names(tmp_path) == as_png_and_svg("history", "slices")


def test_a_study_of_equal_results_has_a_history_and_slices(tmp_path, figures):
    assert tuned(tmp_path, "--trials", "5", "--space", "a=-60:-50", "--only", "a") == 0
    assert figure_names(tmp_path) == as_png_and_svg("history", "slices")


def stability_page(tmp_path: Path, *options: str) -> str:
    assert tuned(tmp_path, *options, "--stability-seeds", "3") == 0
    return (study_folder(tmp_path) / "stability.md").read_text()


def test_the_page_says_where_tuning_gains(tmp_path):
    page = stability_page(tmp_path, "--trials", "12")
    assert "**Tuning gains: on 3 fresh seeds" in page
    assert "fresh seeds 0, 1, 2 (test set)" in page
    assert page.count("| trial ") == 5
    assert "| default | 0 | 1 |" in page


def test_the_page_says_where_no_setting_is_better(tmp_path):
    page = stability_page(tmp_path, "--trials", "6", "--space", "nap=0:1e-4", "--only", "nap")
    verdict = (
        "**Tuning does not gain: no other setting beat the default on the tuning seeds. "
        "Keep the default.**"
    )
    assert verdict in page


def test_the_page_says_where_the_best_setting_was_lucky(tmp_path):
    """The winner of settings that differ by luck alone is ahead only on the seeds that chose it."""
    options = ["--trials=11", "--space=draw=0:99", "--only=draw", "--sampler=random"]
    page = stability_page(tmp_path, *options)
    assert "**No gain is shown: on 3 fresh seeds" in page
    assert "Keep the default unless more seeds say otherwise" in page
    assert "With 3 seeds only a difference of about" in page
    assert "chance had a share in the choice" in page

    gains = re.search(r"by (\S+) points on the tuning.*by (\S+) points", page).groups()
    on_tuning_seeds, on_fresh_seeds = map(float, gains)
    assert on_tuning_seeds > on_fresh_seeds
