"""The study's storage: what is readable of a damaged journal is kept, and a database serves too."""

import json

import optuna
import pytest
from oracle import study_folder, table, tuned

from benchmarks.tuning.operations import operations_of


def damage(journal, harm: str) -> None:
    """Damage one line of the journal, or append an unfinished one."""
    lines = journal.read_bytes().splitlines(keepends=True)
    if harm == "unfinished line":
        lines.append(lines[-1][:20])
    else:
        creations = [i for i, line in enumerate(lines) if b'"op_code":4,' in line]
        place = {"line": creations[2] + 1, "creation": creations[2], "first line": 0}[harm]
        lines[place] = lines[place][:9] + b"\xff\x00" + lines[place][11:]
    journal.write_bytes(b"".join(lines))


@pytest.mark.parametrize("harm", ["unfinished line", "line", "creation", "first line"])
def test_the_readable_lines_of_a_damaged_journal_are_kept(harm, tmp_path, capsys):
    assert tuned(tmp_path, "--trials", "5") == 0
    before = table(tmp_path)
    damage(study_folder(tmp_path) / "journal.log", harm)
    assert tuned(tmp_path, "--trials", "6") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "damaged journal" in printed and "journal.log.damaged" in printed

    # All trials are kept, except that trial 2 may have lost its result.
    after = table(tmp_path)
    n_complete = (after["state"] == "complete").sum()
    if harm == "unfinished line":
        kept = before
        assert n_complete >= 6
    else:
        kept = before[before["trial"] != 2]
        assert n_complete >= 5
    assert "running" not in set(after["state"])
    for column in ("param.a", "param.b", "accuracy"):
        assert set(kept[column]) <= set(after[column])
    assert tuned(tmp_path, "--trials", "7") == 0


def test_all_operations_in_a_damaged_line_are_read():
    state = (
        b'{"op_code":6,"worker_id":"w","trial_id":3,"state":2,"values":null,'
        b'"datetime_complete":"2026-01-02"}'
    )
    attribute = b'{"op_code":8,"worker_id":"w","trial_id":3,"user_attr":{"news":1.0}}'
    both = [json.loads(state), json.loads(attribute)]
    assert operations_of(state) == (both[:1], True)
    assert operations_of(b'{"op_code":8,"tri' + state) == (both[:1], False)
    assert operations_of(state + b"\x00" + attribute) == (both, False)
    assert operations_of(b"nonsense") == ([], False)


def test_a_database_serves_as_storage(tmp_path):
    url = f"sqlite:///{tmp_path}/tuning.db"
    for trials in ("3", "5"):
        assert tuned(tmp_path, "--trials", trials, "--storage", url) == 0
    assert len(table(tmp_path)) == 5
    assert not (study_folder(tmp_path) / "journal.log").exists()
    assert [study.study_name for study in optuna.get_all_study_summaries(url)] == ["s"]
