"""Fifty kills at random moments, and the records and trials are those of a run that had none.

MOSAIC_CHAOS_SEED repeats the kills of an earlier run, as far as the machine is as fast.
"""

import json
import os
import random
import re
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

import pandas as pd
import psutil
import pytest
from stops import Command, hears, wait_for

KILLS = 50
COLD_EVERY = 4  # one of so many commands starts with its imports

TINY = ["--clients=3", "--device=cpu", "--precision=fp32", "--set=task.rounds=6"]
TINY += ["--set=task.steps=10", "--set=task.base_width=4", "--set=task.score_every=2"]
RUN = ["--methods=local,fedavg,fedprox", "--omega=0.1", "--seeds=3", "--widths=full"]
TUNE = ["--method=fedprox", "--study=s", "--trials=13", "--seeds=2", "--stability-seeds=0"]
TUNE += ["--sampler=tpe", "--hold=1", "--jobs=1"]

# what may differ between two runs of one cell
MEASURED = re.compile("method_s|stage_s.*|cpu_s|pass_s|peak_memory_bytes|commit")

# A process that has imported everything, and forks a command for each line that it reads.
NURSERY = """
import json, os, sys
import benchmarks.run, benchmarks.tune
import benchmarks.running.suite_run, benchmarks.tuning.run_trials, benchmarks.tuning.report
from benchmarks.running.stopping import hear_signals
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for stream, path in ((1, order["out"]), (2, order["err"])):
            os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
        hear_signals()
        sys.argv[1:] = order["arguments"]
        main = benchmarks.run.main if order["what"] == "run" else benchmarks.tune.main
        os._exit(main())
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Kill:
    """A kill: of which command, with what, when (seconds after it hears signals)."""

    what: str
    cold: bool
    number: Signals
    group: bool
    after: float


def kills(rng: random.Random):
    """Kills without end. A start with its imports takes longer, so its kill may come later."""
    while True:
        for i in range(COLD_EVERY):
            cold = i == 0
            what = rng.choice(["run", "study"])
            longest = 3.5 if not cold else 12 if what == "run" else 7
            number = rng.choice([SIGINT, SIGTERM, SIGKILL])
            yield Kill(what, cold, number, rng.random() < 0.5, rng.uniform(0, longest))


def arguments(what: str, out: Path, jobs: int = 1) -> list[str]:
    if what == "run":
        return [*RUN, *TINY, f"--jobs={jobs}", f"--out={out}"]
    return [*TUNE, *TINY, f"--out={out}"]


class Nursery:
    """Starts commands that need no time for their imports."""

    def __init__(self, folder: Path):
        self.command = Command(["-c", NURSERY], folder, pipes=True)

    def start(self, what: str, given: list[str], out: Path, err: Path) -> int:
        """Start a command; return its process id."""
        order = {"what": what, "arguments": given, "out": str(out), "err": str(err)}
        self.command.process.stdin.write(json.dumps(order) + "\n")
        self.command.process.stdin.flush()
        return int(self.command.process.stdout.readline())

    def exit_code(self) -> int:
        """Wait for the command that was started last."""
        return int(self.command.process.stdout.readline())


def cold_kill(kill: Kill, out: Path, logs: Path, *more: str) -> tuple[int, str, float]:
    """Do it; return the exit code, what was printed to stderr, seconds until the end."""
    module = "benchmarks.run" if kill.what == "run" else "benchmarks.tune"
    command = Command(["-m", module, *arguments(kill.what, out, jobs=2), *more], logs)
    wait_for(lambda: command.hears)
    time.sleep(kill.after)
    command.send(kill.number, kill.group)
    begun = time.monotonic()
    code = command.process.wait(timeout=60)
    seconds = time.monotonic() - begun
    assert wait_for(lambda: not [p for p in command.left() if not is_agent(p)], 10) + seconds < 5
    return code, command.printed[1], seconds


def is_agent(process: psutil.Process) -> bool:
    """Whether it is one of Ray's two agents. They take a minute to notice that Ray was killed."""
    try:
        return process.name().endswith("Agent")
    except psutil.Error:
        return False


def warm_kill(kill: Kill, out: Path, logs: Path, nursery: Nursery) -> tuple[int, str, float]:
    """The same, with the imports done before."""
    files = [logs / "warm.out", logs / "warm.err"]
    for file in files:
        file.unlink(missing_ok=True)
    pid = nursery.start(kill.what, arguments(kill.what, out), *files)
    wait_for(lambda: hears(pid))
    time.sleep(kill.after)
    if os.path.exists(f"/proc/{pid}"):
        (os.killpg if kill.group else os.kill)(pid, kill.number)
    begun = time.monotonic()
    code = nursery.exit_code()
    seconds = time.monotonic() - begun
    assert wait_for(lambda: len(nursery.command.left()) == 1, 10) + seconds < 5
    return code, files[1].read_text(), seconds


def records(out: Path) -> pd.DataFrame:
    frame = pd.read_csv(out / "heterogeneity" / "records.csv")
    frame = frame.drop(columns=list(filter(MEASURED.fullmatch, frame.columns)))
    return frame.sort_values(["cell", "round"]).reset_index(drop=True)


def trials(out: Path) -> pd.DataFrame:
    """The trials that count, in their order: settings, state and numbers."""
    rows = pd.read_csv(out / "tuning" / "s" / "trials.csv")
    rows = rows[~rows["reason"].astype(str).str.contains("tried again")]
    columns = [name for name in rows if name.startswith(("param.", "accuracy"))]
    return rows[["state", *columns]].reset_index(drop=True)


def best(out: Path) -> dict[str, Any]:
    return tomllib.loads((out / "tuning" / "s" / "best.toml").read_text())


@pytest.mark.slow
def test_kills_of_a_run_on_ray_change_no_record(tmp_path):
    pytest.importorskip("ray")
    seed = int(os.environ.get("MOSAIC_CHAOS_SEED", time.time_ns() % 10**6))
    print(f"MOSAIC_CHAOS_SEED={seed}")
    rng = random.Random(seed)
    for number in (SIGINT, SIGTERM, SIGKILL):
        kill = Kill("run", True, number, rng.random() < 0.5, rng.uniform(3, 20))
        code, err, seconds = cold_kill(kill, tmp_path / "killed", tmp_path / "logs", "--ray=local")
        print(kill, f"{seconds:.2f} s")
        assert code in (0, 128 + number, -SIGKILL) and "Traceback" not in err, (kill, err)
    for out in ("killed", "whole"):
        command = Command(
            ["-m", "benchmarks.run", *arguments("run", tmp_path / out)], tmp_path / "logs"
        )
        assert command.process.wait() == 0, command.printed
    pd.testing.assert_frame_equal(records(tmp_path / "killed"), records(tmp_path / "whole"))


@pytest.mark.slow
def test_fifty_kills_change_no_record_and_no_trial(tmp_path):
    seed = int(os.environ.get("MOSAIC_CHAOS_SEED", time.time_ns() % 10**6))
    print(f"MOSAIC_CHAOS_SEED={seed}")
    nursery = Nursery(tmp_path / "nursery")
    killed = tmp_path / "killed"
    longest = 0.0
    n = late = 0
    for kill in kills(random.Random(seed)):
        if n == KILLS:
            break
        if kill.cold:
            code, err, seconds = cold_kill(kill, killed, tmp_path / "logs")
        else:
            code, err, seconds = warm_kill(kill, killed, tmp_path / "nursery", nursery)
        assert "Traceback" not in err, (kill, err)
        if code == 0:  # it had come to its end
            late += 1
            assert late < KILLS, "there is too little to kill"
            continue
        n += 1
        longest = max(longest, seconds)
        if kill.number == SIGKILL:
            assert code == -SIGKILL, (kill, err)
        else:
            assert code == 128 + kill.number, (kill, err)
            assert re.fullmatch("stopped: .*\n", err), (kill, err)
            assert seconds < 2, kill
        assert not list(killed.rglob("*.failed.json")), kill
    print(f"{n} kills, {late} that came too late; the slowest end took {longest:.2f} s")

    for out in (killed, tmp_path / "whole"):
        for what in ("run", "study"):
            files = [tmp_path / f"{out.name}-{what}.{name}" for name in ("out", "err")]
            nursery.start(what, arguments(what, out), *files)
            assert nursery.exit_code() == 0, files[1].read_text()

    pd.testing.assert_frame_equal(records(killed), records(tmp_path / "whole"))
    assert len(records(killed)["cell"].unique()) == 9
    pd.testing.assert_frame_equal(trials(killed), trials(tmp_path / "whole"))
    assert trials(killed)["state"].tolist() == ["complete"] * 13
    assert best(killed) == best(tmp_path / "whole")
