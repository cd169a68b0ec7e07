"""What a record says of the code that made it."""

import shutil
import subprocess
from importlib import metadata

import pytest

from benchmarks.running import record


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """This file as if it were installed below somebody else's git repository."""
    place = tmp_path / "site-packages" / "benchmarks" / "running"
    place.mkdir(parents=True)
    shutil.copy(record.__file__, place)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *command], cwd=tmp_path, check=True
        )
    monkeypatch.setattr(record, "__file__", str(place / "record.py"))


def test_a_record_names_the_version_and_the_commit_of_a_checkout():
    environment = record.environment()
    assert environment["version"] == "0.1.0"
    assert "commit" in environment


def test_an_installed_package_has_a_version_and_no_commit_of_the_folder_it_lies_in(installed):
    assert record.version() == metadata.version("mosaic-bench")
    assert record._commit() == ""


def test_a_record_names_the_device_of_its_own_run(monkeypatch):
    """A notebook may run a suite on the CPU, and then one on a GPU."""
    assert record.environment()["device"] == "cpu"
    monkeypatch.setattr(record, "device", lambda: "cuda")
    monkeypatch.setattr(record.torch.cuda, "get_device_name", lambda: "H100")
    environment = record.environment()
    assert (environment["device"], environment["kernels"]) == ("H100", "torch")
