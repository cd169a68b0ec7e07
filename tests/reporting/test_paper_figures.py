"""Figures for papers: a venue's width and font sizes, and fonts embedded in the PDF."""

import pytest
from made_folders import made_records, write_folder

from benchmarks.report import main
from benchmarks.reporting.figures import look
from benchmarks.reporting.figures.papers import figures_for, venue, write_paper_figures
from benchmarks.reporting.paper_styles import STYLES
from mosaic.fl.errors import InputError

RECORDS = made_records(
    {"local": [0.2, 0.3], "fedavg": [0.5, 0.6], "mosaic": [0.6, 0.7], "moon": [0.4, 0.6]},
    omegas=(0.1, 1.0),
)


def fonts_of(path) -> dict[str, bool]:
    """The fonts of a PDF by name, and whether each is embedded as TrueType."""
    pypdf = pytest.importorskip("pypdf")
    fonts = {}
    for page in pypdf.PdfReader(path).pages:
        for font in page["/Resources"]["/Font"].values():
            font = font.get_object()
            for inner in font.get("/DescendantFonts", [font]):
                descriptor = inner.get_object().get("/FontDescriptor", {})
                fonts[str(font["/BaseFont"])] = "/FontFile2" in descriptor
    return fonts


def width_of(path) -> float:
    pypdf = pytest.importorskip("pypdf")
    return float(pypdf.PdfReader(path).pages[0].mediabox.width) / 72


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_widths_and_fonts_are_the_venues_and_embedded(style, tmp_path):
    place = write_paper_figures(RECORDS, tmp_path, style)
    assert place == tmp_path / style
    names = {path.name for path in place.iterdir()}
    assert {"accuracy_vs_omega.pdf", "accuracy_vs_bytes.pdf"} <= names
    assert {path.suffix for path in place.iterdir()} == {".pdf"}
    fonts = fonts_of(place / "accuracy_vs_omega.pdf")
    assert fonts and all(fonts.values())
    widths = {"neurips": (5.5, 5.5), "icml": (3.25, 6.75), "ieee": (3.487, 7.14)}[style]
    assert width_of(place / "accuracy_vs_omega.pdf") == pytest.approx(widths[0], abs=0.01)
    assert width_of(place / "accuracy_vs_bytes.pdf") == pytest.approx(widths[1], abs=0.01)


def test_after_it_figures_look_as_before():
    before = dict(look.LOOK)
    with figures_for("icml"):
        assert look.LOOK["font.size"] == venue("icml").look["font.size"] == 8
        assert look.current_format().endings == ("pdf",)
    assert before == look.LOOK
    assert look.current_format().endings == ("png", "svg")


def test_an_unknown_style_is_an_error_with_the_nearest_one(tmp_path, capsys):
    with pytest.raises(InputError, match="neurips"):
        venue("neuripz")
    folder = write_folder(RECORDS, tmp_path / "a")
    assert main([str(folder), "--style", "nature"]) == 2
    assert "ieee" in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_writes_them_beside_its_page(tmp_path):
    folder = write_folder(RECORDS, tmp_path / "a")
    assert main([str(folder), "--style", "ieee"]) == 0
    assert (folder / "figures" / "ieee" / "mean_ranks.pdf").exists()


def test_figures_that_failed_are_not_said_to_be_written(tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("no font")

    monkeypatch.setattr("benchmarks.reporting.figures.papers.write_paper_figures", broken)
    folder = write_folder(made_records({"fedavg": [0.5]}), tmp_path / "made")
    assert main([str(folder), "--style", "ieee"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "missing: the figures for a paper: RuntimeError: no font" in printed
    assert "figures for a paper" not in printed.partition("missing:")[0]
