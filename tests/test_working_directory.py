"""A command that is started where files have the names of modules, in an odd folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# what the console script of an installed package does
SCRIPT = """
import sys
from benchmarks.run import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_modules_in_the_working_directory_are_not_imported(tmp_path):
    folder = tmp_path / "ein Ördner mit Leerzeichen"
    folder.mkdir()
    for name in ("random.py", "benchmarks.py", "mosaic.py"):
        (folder / name).write_text("raise SystemExit('not this one')")
    script = tmp_path / "mosaic-bench"
    script.write_text(SCRIPT)
    options = "--methods fedavg,local --jobs 2 --seeds 1 --omega 0.1 --widths full --device cpu"
    settings = "--set task.rounds=1 --set task.steps=1 --set task.base_width=4 --out ../öut"
    done = subprocess.run(
        [sys.executable, str(script), *options.split(), *settings.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "öut" / "heterogeneity" / "cells").glob("*.jsonl"))) == 2
