"""Any label, and every finished cell, is in each figure that is meant for it."""

import warnings
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from odd_labels import ODD, as_grid, labelled

from benchmarks.reporting import report
from benchmarks.reporting.figures import heatmaps, images, suite_figures
from benchmarks.reporting.figures.look import LOOK
from benchmarks.reporting.figures.text import drawable
from benchmarks.texts import one_line

FEW = ["Ba$$in", r"a$\foo$b", "ours lr=0.1", "_hidden", "中文", "two\nlines", "x" * 300]


@pytest.fixture
def drawn(monkeypatch) -> dict[str, Figure]:
    """Figures by their name instead of files: laid out, so that a wrong text is an error."""
    figures: dict[str, Figure] = {}

    def keep(figure, folder, name):
        with matplotlib.rc_context(LOOK):
            figure.draw_without_rendering()
        assert name not in figures
        figures[name] = figure
        return []

    for module in (heatmaps, images, suite_figures):
        monkeypatch.setattr(module, "save", keep)
    return figures


def texts_of(figure: Figure) -> list[str]:
    """All texts, with wrapped lines joined."""
    texts = figure.findobj(Text)
    assert not any(text.get_parse_math() for text in texts)
    return ["".join(text.get_text().split()) for text in texts]


def shown(label: str) -> str:
    return "".join(drawable(one_line(label)).split())


MANY_LABELS = pytest.param(ODD, id="points", marks=pytest.mark.slow)


@pytest.mark.parametrize("labels", [pytest.param(FEW, id="lines"), MANY_LABELS])
def test_every_label_is_in_every_figure(labels, drawn, tmp_path):
    suite_figures.write_figures(labelled(labels), tmp_path, pages=["communication"])
    assert set(drawn) == {
        "accuracy_vs_omega",
        "learning_curves",
        "accuracy_vs_bytes",
        "accuracy_vs_seconds",
        "accuracy_vs_seconds_at_100mbits",
        "accuracy_vs_seconds_at_10mbits",
        "bytes_by_kind",
        "mean_ranks",
    }
    for name, figure in drawn.items():
        texts = texts_of(figure)
        for label in labels:
            assert shown(label) in texts, (name, label)


@pytest.mark.parametrize("label", FEW)
def test_a_grid_has_a_heat_map_whatever_its_label_and_values(label, drawn, tmp_path):
    heatmaps.write_heatmaps(as_grid(label), tmp_path)
    assert len(drawn) == 2  # omegas
    for figure in drawn.values():
        texts = texts_of(figure)
        assert {"end", "everyround", "1", "2"} <= set(texts)
        assert sum("±" in text and text != "Accuracy" for text in texts if len(text) < 10) == 3
        assert shown(label)[:200] in "".join(texts)


def test_points_without_a_result_keep_their_place_in_the_heat_map(drawn, tmp_path):
    records = as_grid("mosaic")
    failed = records["config.protocol"] == "every round"
    records.loc[failed, ["status", "selection", "accuracy"]] = ["failed", "", np.nan]
    heatmaps.write_heatmaps(records, tmp_path)
    assert all("everyround" in texts_of(figure) for figure in drawn.values())


def test_grids_of_one_label_do_not_overwrite_one_another(drawn, tmp_path):
    other = as_grid("ours").rename(columns={"config.k": "config.lr"})
    records = pd.concat(
        [as_grid("ours"), other.assign(grid_settings="protocol lr"), as_grid("Ours")]
    )
    heatmaps.write_heatmaps(records, tmp_path)
    assert len({name.casefold() for name in drawn}) == 6


def test_every_finished_cell_is_a_line_or_a_field(drawn, tmp_path, monkeypatch):
    """A label like a point, a grid of one setting, and a grid of two."""
    one = labelled(["ours k=1", "ours k=2"])
    one = one.assign(grid="ours", grid_settings="k", cell=one["cell"] + "one")
    records = pd.concat([labelled(["ours lr=0.1", "mosaic"]), one, as_grid("dense")])
    is_point = heatmaps.is_grid_point(records)
    assert set(records.loc[is_point, "grid"]) == {"dense"}

    monkeypatch.setattr(report, "_write_label_distribution", lambda *_: None)
    failures = []
    report._write_all_figures(records, tmp_path, [], failures)
    assert not failures
    for name, figure in drawn.items():
        if not name.startswith("heatmap"):
            assert {"ourslr=0.1", "mosaic", "oursk=1", "oursk=2"} <= set(texts_of(figure)), name


def test_panels_of_like_names_are_all_drawn(drawn, tmp_path):
    """Widths whose first 23 characters are equal; omegas whose first 6 digits are."""
    widths = [f"1,0.5,0.25,0.125,0.0625,{last}" for last in (0.5, 0.25)]
    records = pd.concat(
        [labelled(["a", "b"], (0.12345671, 0.12345672)).assign(widths=w) for w in widths]
    )
    suite_figures.write_figures(records, tmp_path)
    assert len(drawn["accuracy_vs_omega"].axes) == 2
    assert len(drawn["learning_curves"].axes) == 4
    titles = {axes.get_title() for axes in drawn["learning_curves"].axes}
    assert len(titles) == 4


@pytest.mark.slow
def test_rendered_figures_are_files_that_can_be_read(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = suite_figures.write_figures(labelled(FEW), tmp_path)
        paths += heatmaps.write_heatmaps(as_grid("ours/w. $GAN$"), tmp_path)
    assert len(paths) == 12 + 4
    for path in paths:
        if path.suffix == ".svg":
            ET.parse(path)


def write_pictures(folder, cells: list[str], shades: list[int]) -> None:
    (folder / "pictures").mkdir()
    for cell, shade in zip(cells, shades, strict=True):
        pixels = np.full((2, 8, 1, 4, 4), shade, dtype=np.uint8)
        path = folder / "pictures" / f"{cell}.npz"
        np.savez_compressed(path, clients=[0, 1], generated=pixels, real=pixels)


def test_generated_images_name_every_method_that_has_them(drawn, tmp_path):
    """Two labels share their generators; the third one's file would have the first one's name."""
    labels = ["ours/w. GAN", "Ba$$in", "ours?w. GAN"]
    records = labelled(labels, (1.0,))
    write_pictures(tmp_path, ["0-1.0-0", "1-1.0-0", "2-1.0-0"], [1, 1, 2])
    failures = []
    report._write_pictures(records, tmp_path, failures)
    assert not failures and len(drawn) == 2
    texts = ["".join(texts_of(figure)) for figure in drawn.values()]
    assert all(any(shown(label) in text for text in texts) for label in labels)


def test_the_first_finished_seed_is_shown_where_seed_0_failed(drawn, tmp_path):
    records = labelled(["a"], (1.0,))
    failed = records["seed"] == 0
    records.loc[failed, ["status", "selection"]] = ["failed", ""]
    write_pictures(tmp_path, ["0-1.0-1"], [1])
    report._write_pictures(records, tmp_path)
    assert len(drawn) == 1
