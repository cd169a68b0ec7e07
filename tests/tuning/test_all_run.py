"""Trials of several studies: what ends one of them, and what ends all."""

import errno

import pytest
from oracle import plan

from benchmarks.tuning.all_run import work_on_all
from mosaic.fl.contract import Skip
from mosaic.fl.errors import InputError


@pytest.fixture
def announced(tmp_path, monkeypatch):
    """Runs the trials of one study, whose cells end with an error; the warnings."""

    def run(error: Exception) -> list[str]:
        def failing(*_):
            raise error

        monkeypatch.setattr("benchmarks.tuning.trials.validate", failing)
        texts = []
        work_on_all([plan(tmp_path, "--trials=2")], lambda *given: texts.append(given))
        return [text for process, text in texts if process == "warning"]

    return run


@pytest.mark.parametrize("error", [Skip("it needs two classes"), InputError("mu is too large")])
def test_a_method_that_cannot_be_tuned_leaves_the_others(error, announced):
    assert announced(error) == [f"oracle cannot be tuned so: {error}"]


def test_a_full_disk_ends_them_all(announced):
    with pytest.raises(InputError, match="No space left on device for /out/x.json"):
        announced(OSError(errno.ENOSPC, "No space left on device", "/out/x.json"))
