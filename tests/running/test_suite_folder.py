"""A suite's folder belongs to one suite, and no suite writes into another's or into the cache."""

import pytest

from benchmarks import run as benchmark
from benchmarks.planning.suite import FOLDER
from benchmarks.running.suite_folder import (
    OWNER,
    budget_of,
    check_folder,
    claim,
    name_with_budget,
    other_budget,
)
from mosaic.fl.errors import InputError

SUITE = 'question = "?"\nomega = [0.1]\nclients = [4]\nmethods = ["fedavg"]\n'


@pytest.fixture
def suite(tmp_path):
    """Makes a suite's file in a folder of its own: suite("a", "mine", "# more")."""

    def make(folder: str, name: str, more: str = "") -> str:
        path = tmp_path / folder / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SUITE + more)
        return str(path)

    return make


def test_a_second_suite_of_one_name_is_refused(suite, tmp_path):
    first = suite("a", "mine")
    second = suite("b", "mine", "# another question\n")
    folder = tmp_path / "out" / "mine"
    check_folder(folder, first)
    claim(folder, first)
    with pytest.raises(InputError, match="results of another suite of this name, .*a/mine.toml"):
        check_folder(folder, second)


def test_a_suite_may_be_edited_or_moved(suite, tmp_path):
    folder = tmp_path / "out" / "mine"
    claim(folder, suite("a", "mine"))
    check_folder(folder, suite("a", "mine", "# edited\n"))
    check_folder(folder, suite("moved", "mine"))


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b"[]", b'{"path": 3}'])
def test_a_damaged_owner_is_written_again(damage, suite, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / OWNER).write_bytes(damage)
    with pytest.warns(UserWarning, match="damaged file of the suite .*suite.json"):
        check_folder(folder, suite("a", "mine"))


def test_a_file_with_the_name_of_a_built_in_suite_does_not_take_its_folder(suite, tmp_path):
    own = suite("a", "heterogeneity")
    folder = tmp_path / "out" / "heterogeneity"
    check_folder(folder, own)  # a new folder
    (folder / "cells").mkdir(parents=True)  # records from before folders had owners
    with pytest.raises(InputError, match="built-in: heterogeneity"):
        check_folder(folder, own)
    check_folder(folder, "heterogeneity")
    check_folder(folder, str(FOLDER / "heterogeneity.toml"))


def test_each_budget_has_a_folder_and_knows_the_others(tmp_path):
    folder = tmp_path / name_with_budget("mine", "equal")
    paper = tmp_path / name_with_budget("mine", "paper")
    assert (folder.name, paper.name) == ("mine", "mine-paper")
    assert (other_budget(folder), other_budget(paper)) == (paper, folder)
    assert (budget_of(folder.name), budget_of(paper.name)) == ("equal", "paper")


def test_another_suite_with_the_name_of_that_folder_is_refused(suite, tmp_path):
    claim(tmp_path / "out" / name_with_budget("mine", "paper"), suite("a", "mine"))
    other = suite("b", "mine-paper", "# another question\n")
    with pytest.raises(InputError, match="results of another suite of this name, .*a/mine.toml"):
        check_folder(tmp_path / "out" / "mine-paper", other)


@pytest.mark.parametrize(
    "name", ["cache", "CACHE", "tracking", "tuning", ".", "..", ".hidden", "a\nb"]
)
def test_reserved_names_are_refused_by_the_command(name, suite, tmp_path, capsys):
    given = suite("a", name)
    assert benchmark.main(["--dry-run", f"--suite={given}", f"--out={tmp_path / 'out'}"]) == 2
    assert "a suite cannot be called" in " ".join(capsys.readouterr().err.split())


def test_a_label_of_the_floor_belongs_to_the_floor(suite, tmp_path, capsys):
    given = suite("a", "mine", '[[method]]\nname = "ensemble"\nlabel = "local"\n')
    assert benchmark.main(["--dry-run", f"--suite={given}", f"--out={tmp_path / 'out'}"]) == 2
    assert "the label 'local' of ensemble" in " ".join(capsys.readouterr().err.split())
