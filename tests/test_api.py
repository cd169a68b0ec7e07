"""The Python API, and what the commands refuse."""

from types import ModuleType

import pytest
import torch

from baselines import fedavg
from benchmarks import load_records
from benchmarks.api import request_of
from benchmarks.cli import listed, number_of_jobs
from benchmarks.metrics.accuracy import score
from benchmarks.planning.methods import METHODS
from benchmarks.running.run_cell import run_cell
from benchmarks.running.session import Session, prepare
from mosaic.fl.cache import use_cache
from mosaic.fl.errors import InputError, did_you_mean


def test_options_may_be_single_values_and_unknown_ones_are_refused():
    request = request_of("heterogeneity", "quick", {"omega": 0.1, "seeds": "4,7", "out": "x"})
    assert (request.omega, request.seeds, request.out.name) == ([0.1], [4, 7], "x")
    with pytest.raises(InputError, match="unknown option 'omegas'; did you mean 'omega'"):
        request_of("heterogeneity", "quick", {"omegas": 1})


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no records in .*give the folder of one suite"):
        load_records(tmp_path / "nowhere")


def test_an_empty_list_is_not_the_default():
    assert listed(None) is None and listed("a, b,") == ["a", "b"]
    with pytest.raises(InputError, match="',' is an empty list"):
        listed(",")


@pytest.mark.parametrize("jobs", [0, -1, "two"])
def test_jobs_are_a_whole_number_of_at_least_one(jobs):
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        number_of_jobs(jobs, 1, "cpu")


def test_a_known_name_is_listed_once():
    assert str(did_you_mean("method", "c", ["b", "a", "b"])).endswith("Known: a, b.")
    assert "Known" not in str(did_you_mean("metric", "c", []))


def test_logits_of_another_number_of_classes_are_an_error():
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"shape \(4, 3\).* it must be \(4, 10\)"):
        score(lambda x: x.flatten(1)[:, :3], images, labels, 10)


def test_a_method_that_stops_before_the_last_round_has_failed(tiny_cell, tmp_path, monkeypatch):
    """Else its bytes and seconds would be those of fewer rounds."""
    early = ModuleType("early")
    early.__dict__.update(fedavg.__dict__)
    early.run = lambda task, config: (s for s in fedavg.run(task, config) if s.round == 1)
    monkeypatch.setitem(METHODS, "fedavg", early)

    session = Session(tmp_path)
    prepare(session)
    outcome = run_cell(tiny_cell("fedavg"), session)
    use_cache(None)
    assert outcome.status == "failed"
    assert "after round 1, but the task has 2 rounds" in " ".join(outcome.notes)
