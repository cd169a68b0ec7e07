"""--help and a wrong option answer at once: PyTorch and the like are not imported for them."""

import subprocess
import sys
import time

import pytest

from mosaic.fl.data.names import BUILT_IN

COMMANDS = [
    "benchmarks.run",
    "benchmarks.tune",
    "benchmarks.running.archive",
    "benchmarks.verify",
    "benchmarks.planning.methods",
    "benchmarks.metrics.columns",
    "benchmarks.reporting.print_budget",
    "benchmarks.speed",
]

WRONG_NAMES = {
    "benchmarks.run --suite heterogenity": "did you mean 'heterogeneity'",
    "benchmarks.run --suite nowhere.toml": "no suite file",
    "benchmarks.run --scale qick": "did you mean 'quick'",
    "benchmarks.run --budget eqal": "did you mean 'equal'",
    "benchmarks.run --methods fedavg,mosiac": "did you mean 'mosaic'",
    "benchmarks.run --seeds 1.5": "seeds are '1.5'",
    "benchmarks.run --omega much": "omega is 'much'",
    "benchmarks.run --set lambda_d": "METHOD.KEY=VALUE",
    "benchmarks.run --set mosiac.lambda_d=1": "did you mean 'mosaic'",
    "benchmarks.tune --method mosiac": "did you mean 'mosaic'",
    "benchmarks.tune --all --methods mosiac": "did you mean 'mosaic'",
    "benchmarks.tune --all --suite oneshop": "did you mean 'oneshot'",
    "benchmarks.tune --scale qick": "did you mean 'quick'",
    "benchmarks.tune --trials 0": "--trials is 0",
    "benchmarks.tune --omega much": "omega is 'much'",
    "benchmarks.run --datasets digitz": "did you mean 'digits'",
    "benchmarks.tune --dataset digitz": "did you mean 'digits'",
    "benchmarks.run --jobs 0": "--jobs is 0",
    "benchmarks.run --threads -1": "--threads is -1",
    "benchmarks.run --device gpu": "unknown device 'gpu'",
    "benchmarks.run --precision fp16": "unknown precision 'fp16'",
    "benchmarks.run --gpu-share 2.5": "--gpu-share is 2.5",
    "benchmarks.tune --jobs 0": "--jobs is 0",
    "benchmarks.tune --device gpu": "unknown device 'gpu'",
    "benchmarks.tune --objective acuracy": "did you mean 'accuracy'",
    "benchmarks.speed ronds": "did you mean 'rounds'",
}

# runs each line of its standard input as a command, all in one process
RUN_ALL = """
import contextlib, io, json, runpy, sys
for line in sys.stdin.read().splitlines():
    command, *sys.argv[1:] = line.split()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            runpy.run_module(command, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
    heavy = [name for name in ("torch", "scipy", "matplotlib", "optuna") if name in sys.modules]
    text = " ".join(printed.getvalue().split())
    print(json.dumps([line, code, text, heavy]))
"""


def answers(lines: list[str]) -> list[tuple[str, int, str, list[str]]]:
    """The exit code, the text and the heavy modules of each command."""
    import json

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_ALL],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_help_and_mistyped_options_import_nothing_heavy():
    lines = [f"{command} {given}" for command in COMMANDS for given in ("--help", "--mistyped")]
    for line, code, text, heavy in answers(lines):
        assert "usage: " in text, (line, text)
        assert (code, heavy) == (0 if "--help" in line else 2, []), line


def test_a_wrong_name_is_explained_without_heavy_imports():
    for line, code, text, heavy in answers(list(WRONG_NAMES)):
        assert WRONG_NAMES[line] in text, (line, text)
        assert (code, heavy) == (2, []), line


def test_the_names_of_data_sets_are_those_that_can_be_loaded():
    from mosaic.fl.data.datasets import DATASETS

    assert list(DATASETS)[: len(BUILT_IN)] == list(BUILT_IN)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_within_a_second(command):
    # The fastest of five: another program on the machine slows down single starts
    assert min(seconds_of_help(command) for _ in range(5)) < 1


def seconds_of_help(command: str) -> float:
    """The seconds from a command's start to its end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", command, "--help"], capture_output=True, check=True)
    return time.perf_counter() - begun
