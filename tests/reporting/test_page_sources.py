"""Records of several folders: each cell once, and nothing compared that must not be."""

import pytest
from made_folders import key_of, made_records, write_folder

from benchmarks.report import main
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.sources import read_folders
from benchmarks.running.suite_folder import claim
from mosaic.fl.errors import InputError

TWO = {"fedavg": [0.5, 0.6], "mosaic": [0.55, 0.7]}


def labels(sources) -> list[str]:
    return sorted(sources.records["label"].unique())


def test_cells_that_two_folders_have_are_shown_once_and_a_difference_is_named(tmp_path):
    a = write_folder(made_records(TWO), tmp_path / "a")
    b = write_folder(made_records({"fedavg": [0.5, 0.63], "moon": [0.5, 0.5]}), tmp_path / "b")
    sources = read_folders([a, b, a])
    assert sources.folders == [a, b]
    assert len(sources.records) == 6
    assert (
        sources.records.loc[sources.records["cell"] == key_of("fedavg", 0.1, 1), "accuracy"].item()
        == 0.6
    )
    [note] = sources.notes
    assert note.startswith("2 cells are in several folders and shown once.")
    assert "1 of them differ between the folders, by up to 3.0 points" in note


def test_a_cell_that_failed_in_the_first_folder_is_taken_from_the_second(tmp_path):
    failed = made_records({"mosaic": [0.0]}, status="failed", reason="no", selection="")
    a = write_folder(failed, tmp_path / "a")
    b = write_folder(made_records({"mosaic": [0.7]}), tmp_path / "b")
    records = read_folders([a, b]).records
    assert records["status"].tolist() == ["done"]


def test_another_scale_is_another_data_set_and_not_one_comparison(tmp_path):
    a = write_folder(made_records(TWO), tmp_path / "a")
    other = made_records(TWO, scale="laptop", **{"task.rounds": 20})
    b = write_folder(other.assign(cell=other["cell"] + "b"), tmp_path / "b")
    sources = read_folders([a, b])
    assert sorted(sources.records["dataset"].unique()) == ["digits (a)", "digits (b)"]
    assert len(Context(sources.records, "mosaic").settings) == 2


def test_another_setting_of_a_method_is_another_label(tmp_path):
    a = made_records(TWO, **{"config.lr": 0.1})
    b = made_records(TWO, **{"config.lr": 0.2})
    one = write_folder(a, tmp_path / "a")
    two = write_folder(b.assign(cell=b["cell"] + "b"), tmp_path / "b")
    assert labels(read_folders([one, two])) == ["fedavg", "fedavg (b)", "mosaic", "mosaic (b)"]


def test_settings_that_differ_within_one_folder_are_in_the_label(tmp_path):
    a = made_records({"mosaic": [0.5, 0.6]}, **{"config.lr": 0.1})
    b = made_records({"mosaic": [0.7, 0.6]}, **{"config.lr": 0.2})
    both = write_folder(a, tmp_path / "a")
    write_folder(b.assign(cell=b["cell"] + "b"), tmp_path / "b")
    for path in (tmp_path / "b" / "cells").iterdir():
        path.rename(both / "cells" / path.name)
    assert labels(read_folders([both])) == ["mosaic", "mosaic (lr 0.2)"]


def test_a_second_floor_is_left_out(tmp_path):
    a = write_folder(made_records({"local": [0.1], **TWO}), tmp_path / "a")
    other = made_records({"local": [0.2]}, **{"config.lr": 0.2})
    b = write_folder(other.assign(cell=other["cell"] + "b"), tmp_path / "b")
    sources = read_folders([a, b])
    assert labels(sources) == ["fedavg", "local", "mosaic"]
    assert any("left out" in note for note in sources.notes)


def test_a_users_own_label_is_no_second_floor(tmp_path):
    own = {"local (mine)": [0.1, 0.2], "centralised (all)": [0.9, 0.9], **TWO}
    sources = read_folders([write_folder(made_records(own), tmp_path / "a")])
    assert labels(sources) == sorted(own) and sources.notes == []


def test_a_half_written_record_is_named_on_the_page_and_the_others_are_shown(tmp_path, capsys):
    a = write_folder(made_records(TWO), tmp_path / "a")
    record = a / "cells" / f"{key_of('mosaic', 0.1, 1)}.jsonl"
    record.write_bytes(record.read_bytes()[:100])
    assert main([str(a)]) == 0
    assert "damaged record" in capsys.readouterr().out
    assert "damaged record" in (a / "report.html").read_text()


def test_a_method_that_no_longer_exists_and_records_of_another_version_are_shown(tmp_path):
    records = made_records({"gone": [0.5, 0.6], **TWO}, version="0.0.1", commit="abc")
    a = write_folder(records, tmp_path / "a")
    assert main([str(a)]) == 0
    page = (a / "report.html").read_text()
    assert "gone" in page
    assert "0.0.1" in page


@pytest.mark.parametrize("given, said", [("none", "no folder"), ("empty", "has no records")])
def test_a_folder_without_records_is_an_error(given, said, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / given)]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_of_suites_names_the_suites_in_it(tmp_path):
    write_folder(made_records(TWO), tmp_path / "a")
    with pytest.raises(InputError, match="give folders in it: .*a"):
        read_folders([tmp_path])


def test_no_readable_record_is_an_error(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "x.jsonl").write_text("{")
    with pytest.warns(UserWarning), pytest.raises(InputError, match="no record in .* can be read"):
        read_folders([tmp_path])


def test_an_unknown_reference_and_a_file_that_cannot_be_written_are_errors(tmp_path, capsys):
    a = write_folder(made_records(TWO), tmp_path / "a")
    assert main([str(a), "--reference", "mosaik"]) == 2
    assert "mosaic" in capsys.readouterr().err
    assert main([str(a), "--out", str(tmp_path / "no" / "x.html")]) == 2


SUITE = 'question = "?"\nomega = [0.1]\nclients = [4]\nmethods = ["fedavg", "moon"]\n'


@pytest.fixture
def reference_of(monkeypatch):
    """Makes the page of a folder without drawing it; the label that it compares with."""
    references = []

    def written(sources, reference, path, failures):
        references.append(reference)
        path.write_text("")

    monkeypatch.setattr("benchmarks.reporting.page.write.write_page", written)

    def made(folder) -> str:
        assert main([str(folder)]) == 0
        return references[-1]

    return made


def test_the_page_compares_with_the_suites_reference_at_each_budget(tmp_path, reference_of):
    labels = {"mosaic": [0.5], "mosaic_feedback": [0.6]}
    for name in ("feedback", "feedback-paper"):
        folder = write_folder(made_records(labels, suite=name), tmp_path / name)
        assert reference_of(folder) == "mosaic_feedback"
        assert reference_of(folder.rename(tmp_path / f"copy of {name}")) == "mosaic_feedback"


def test_the_page_compares_with_the_reference_of_a_users_own_suite(tmp_path, reference_of):
    own = tmp_path / "own.toml"
    own.write_text('reference = "moon"\n' + SUITE)
    labels = {"fedavg": [0.5], "moon": [0.6], "mosaic": [0.7]}
    folder = write_folder(made_records(labels, suite="own"), tmp_path / "own")
    claim(folder, str(own))
    assert reference_of(folder) == "moon"
    own.unlink()
    assert reference_of(folder) == "mosaic"
