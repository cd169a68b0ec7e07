"""The README: short, and its example runs as printed."""

import re
from pathlib import Path

from benchmarks.planning.methods import BUILT_IN

README = Path(__file__).parents[1] / "README.md"


def test_it_is_short():
    assert len(README.read_text().splitlines()) <= 120


def test_it_counts_the_methods_beside_mosaic():
    [number] = re.findall(r"runs it beside (\d+) others", README.read_text())
    assert int(number) == len(BUILT_IN) - 1


def test_its_example_runs(capsys):
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    rounds = [int(line.split()[0]) for line in lines]
    accuracies = [float(line.split()[1]) for line in lines]
    assert rounds == [1, 2, 3, 4, 5]
    assert accuracies[-1] > 0.2  # ten classes: twice as good as guessing
