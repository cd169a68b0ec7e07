"""The commands are stopped while they compute: one line, and nobody is left."""

import os
import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from stops import Command, wait_for

TINY = [
    "--clients=3",
    "--device=cpu",
    "--precision=fp32",
    "--set=task.rounds=200",
    "--set=task.steps=200",
    "--set=task.base_width=4",
]
RUN = ["-m", "benchmarks.run", "--methods=local,fedprox", "--omega=0.1", "--seeds=1"]
RUN += ["--widths=full", *TINY]
TUNE = ["-m", "benchmarks.tune", "--method=fedprox", "--study=s", "--trials=3", "--seeds=1", *TINY]
pytestmark = pytest.mark.slow


def working(command: Command, out: Path, processes: int) -> bool:
    """Whether so many processes compute cells: there are locks of stages."""
    assert command.process.poll() is None, command.printed
    busy = [process for process in command.left() if process.cpu_times().user > 2]
    stages = out.rglob("cache/**/*.lock")
    return len(busy) >= processes and any(stages)


@pytest.mark.parametrize(
    "arguments, processes, number, group",
    [
        ([*RUN, "--jobs=1"], 1, signal.SIGINT, False),
        ([*RUN, "--jobs=2"], 3, signal.SIGINT, True),
        ([*RUN, "--jobs=2"], 3, signal.SIGTERM, False),
        ([*RUN, "--ray=local"], 3, signal.SIGTERM, False),
        ([*TUNE, "--jobs=1"], 1, signal.SIGTERM, False),
        ([*TUNE, "--jobs=2"], 3, signal.SIGINT, True),
        ([*TUNE, "--jobs=2"], 3, signal.SIGKILL, False),
        ([*TUNE, "--ray=local"], 3, signal.SIGINT, True),
    ],
)
def test_a_command_stops_at_once(arguments, processes, number, group, tmp_path):
    if "--ray=local" in arguments:
        pytest.importorskip("ray")
    out = tmp_path / "out"
    command = Command([*arguments, f"--out={out}"], tmp_path)
    wait_for(lambda: working(command, out, processes), 120)
    begun = time.time()
    command.send(number, group)
    code = command.process.wait(timeout=10)
    seconds = time.time() - begun
    gone = seconds + wait_for(lambda: not command.left(), 10)
    out_text, err = command.printed
    line = command.files[1].stat().st_mtime - begun

    print(f"line {line:.2f} s, end {seconds:.2f} s, the last of its processes {gone:.2f} s")
    assert line < 2 and gone < 5
    assert "Traceback" not in out_text + err
    if number != signal.SIGKILL:
        assert code == 128 + number
        assert err.startswith("stopped: 0 of ") and err.endswith("goes on.\n"), err
        assert err.count("\n") == 1
    assert not list(out.rglob("*.failed.json"))


def command_lines(processes: list[psutil.Process]) -> list[str]:
    """Of each process that still lives, its command line."""
    lines = []
    for process in processes:
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return [line for line in lines if line]  # a process that has just ended has an empty one


SCRIPT = """
import signal, sys
import psutil
from benchmarks import run_suite
if __name__ == "__main__":
    try:
        run_suite(methods=["local", "fedprox"], omega=0.1, seeds=1, widths="full", clients=3,
                  settings={"task": {"rounds": 200, "steps": 200}}, jobs=2, out=sys.argv[1])
    except KeyboardInterrupt:
        children = [" ".join(child.cmdline()) for child in psutil.Process().children()]
        n_left = sum("spawn_main" in child for child in children)
        print("interrupted", n_left, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)
"""


def test_from_python_an_interrupt_reaches_the_caller_after_the_processes_are_gone(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    command = Command([str(script), str(out)], tmp_path)
    wait_for(lambda: working(command, out, 3), 120)
    command.send(signal.SIGINT, group=True)
    assert command.process.wait(timeout=5) == 0
    printed, err = command.printed
    assert printed.splitlines()[-1] == "interrupted 0 True" and err == ""
    # Python's own resource tracker ends when it sees that its parent has ended; nobody else is left
    assert all("resource_tracker" in line for line in command_lines(command.left()))
    wait_for(lambda: not command.left(), 5)


def test_a_killed_worker_fails_its_cell_with_a_reason_and_the_run_goes_on(tmp_path):
    quick = ["--methods=local,fedprox,fedavg", "--set=task.rounds=40", "--set=task.steps=20"]
    command = Command([*RUN, *quick, "--jobs=2", f"--out={tmp_path}"], tmp_path / "logs")
    wait_for(lambda: working(command, tmp_path, 3), 120)
    workers = [process for process in command.left() if process.pid != command.process.pid]
    victim = max(workers, key=lambda process: process.cpu_times().user)
    os.kill(victim.pid, signal.SIGKILL)
    code = command.process.wait(timeout=240)

    frame = pd.read_csv(tmp_path / "heterogeneity" / "records.csv")
    last = frame.drop_duplicates("cell", keep="last")
    failed = last[last["status"] == "failed"]
    assert len(last) == 3 and (last["status"] == "done").sum() == 3 - len(failed)
    if code == 0:  # it was killed in a stage, which the cell that needs it computed again
        assert len(failed) == 0
    else:
        assert failed["reason"].tolist() == ["its process was killed (out of memory?); run again"]
