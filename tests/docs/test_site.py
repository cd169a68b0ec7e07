"""The documentation builds as a site without warnings."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    home = (tmp_path / "index.html").read_text()
    assert "fonts.googleapis.com" not in home  # nothing from other servers
    assert (tmp_path / "results" / "laptop" / "heterogeneity" / "index.html").exists()
    assert "open_federation" in (tmp_path / "api" / "index.html").read_text()
