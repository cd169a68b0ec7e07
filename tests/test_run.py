"""The command, as a user runs it: what it writes, what it refuses, how it goes on when stopped."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.run import main
from mosaic.fl.cache import use_cache, watch_stages

TINY = [
    "--omega=0.1",
    "--clients=3",
    "--seeds=1",
    "--widths=full",
    "--device=cpu",
    "--precision=fp32",
    "--set=task.rounds=2",
    "--set=task.steps=2",
    "--set=task.base_width=4",
    "--set=task.score_every=1",
]
FAST = [*TINY, "--methods", "local,fedavg,centralised"]
# what may differ between two runs of one cell
MEASURED = re.compile("method_s|stage_s.*|cpu_s|pass_s|peak_memory_bytes|commit")
pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch):
    """The command points this process at a store, a data folder and a watcher: undo that."""
    monkeypatch.setenv("MOSAIC_DATA", "")
    yield
    use_cache(None)
    watch_stages(None)


def run(out: Path, *more: str) -> int:
    return main([*FAST, "--jobs", "1", "--out", str(out), *more])


def records(out: Path, suite: str = "heterogeneity") -> pd.DataFrame:
    frame = pd.read_csv(out / suite / "records.csv")
    return (
        frame.drop(columns=filter(MEASURED.fullmatch, frame.columns))
        .sort_values(["cell", "round"])
        .reset_index(drop=True)
    )


@pytest.mark.slow
def test_the_two_budgets_have_a_folder_each_and_compare_themselves(tmp_path):
    """FedAvg has no steps to choose: its cell is the same and is not run twice."""
    few = ["--methods=local,fedavg,dfrd", "--set=task.steps=8"]
    few += [f"--set=dfrd.{small}" for small in ("batch=16", "ngf=4", "latent=8")]
    assert run(tmp_path, *few) == 0
    assert run(tmp_path, *few, "--budget=paper") == 0
    equal, paper = (records(tmp_path, f"heterogeneity{end}") for end in ("", "-paper"))
    own, other = (frame.drop_duplicates("label").set_index("label") for frame in (equal, paper))
    assert (own.loc["dfrd", "budget"], other.loc["dfrd", "budget"]) == ("equal", "paper")
    assert own.loc["dfrd", "server_budget"] == 3
    assert own.loc["dfrd", "server_spent"] == pytest.approx(3, rel=0.1)  # in whole turns
    assert other.loc["dfrd", "server_work"] == 0.04
    # four of the turns that the paper has in a hundred rounds, in these two
    assert other.loc["dfrd", "server_share"] == pytest.approx(0.04)
    assert "server_budget" not in other or pd.isna(other.loc["dfrd", "server_budget"])
    assert own.loc["fedavg", "cell"] == other.loc["fedavg", "cell"]
    assert own.loc["dfrd", "cell"] != other.loc["dfrd", "cell"]
    page = (tmp_path / "heterogeneity-paper" / "table.md").read_text()
    assert "Order of the methods with the budgets paper and equal" in page
    assert "What each method computes" in page


@pytest.mark.slow
def test_a_cell_that_another_suite_ran_is_taken_over(tmp_path, monkeypatch):
    assert run(tmp_path) == 0
    # from here on nothing can be computed
    monkeypatch.setattr("benchmarks.running.processes.run_cell", None)
    assert run(tmp_path, "--suite", "scalability") == 0
    first, again = records(tmp_path), records(tmp_path, "scalability")
    pd.testing.assert_frame_equal(first.drop(columns="suite"), again.drop(columns="suite"))
    assert (tmp_path / "scalability" / "figures" / "label_distribution.png").exists()
    assert run(tmp_path, "--suite", "lambda_sweep", "--dry-run") == 0
    assert not (tmp_path / "lambda_sweep").exists()


def test_the_command_writes_records_tables_and_figures(tmp_path, figures):
    steps = [
        f"--set=mosaic.{setting}"
        for setting in ("generator_steps=4", "distil_steps=2", "ngf=4", "distil_batch=30")
    ]
    command = ["--methods", "fedavg,mosaic", "--jobs", "1", "--out", str(tmp_path), *steps]
    assert main([*TINY, *command]) == 0
    folder = tmp_path / "heterogeneity"
    tables = ["records.csv", "summary.csv", "table.md", "table.tex"]
    for name in [*tables, "figures/learning_curves.png"]:
        assert (folder / name).stat().st_size > 0
    frame = pd.read_csv(folder / "records.csv")
    mosaic = frame[frame["label"] == "mosaic"].iloc[-1]
    assert mosaic["selection"].startswith("last") and 0 <= mosaic["accuracy"] <= 1
    assert mosaic["fid_domain"] > mosaic["fid_domain_floor"] >= 0  # four steps make no digits
    assert list(frame[frame["label"] == "fedavg"]["round"]) == [1, 2]
    # by hand: 3 clients x 2 rounds x 4 bytes x the CNN's state, each way. Convolutions
    # 9 (1 4 + 4 8 + 8 16 + 16 16), BatchNorm 4 (4 + 8 + 16 + 16), classifier 16 10 + 10
    state = 9 * (4 + 32 + 128 + 256) + 4 * 44 + 170
    fedavg = frame[frame["label"] == "fedavg"].iloc[-1]
    assert fedavg["upload_bytes"] == fedavg["download_bytes"] == 3 * 2 * 4 * state
    # Mosaic: the same models up, label counts of ten int64 per client, and one generator each; the
    # server model goes down once more for the prototypes
    assert mosaic["upload_bytes_model"] == fedavg["upload_bytes"]
    assert mosaic["upload_bytes_counts"] == 3 * 10 * 8
    assert mosaic["download_bytes"] == fedavg["download_bytes"] + 3 * 4 * state
    assert list((folder / "figures").glob("generated_mosaic*.png"))


def test_a_finished_cell_is_not_run_again_unless_forced(tmp_path):
    assert run(tmp_path) == 0
    cells = sorted((tmp_path / "heterogeneity" / "cells").glob("*.jsonl"))
    before = [path.stat().st_mtime_ns for path in cells]
    kept = records(tmp_path)
    assert run(tmp_path) == 0
    assert [path.stat().st_mtime_ns for path in cells] == before
    [partition] = (tmp_path / "heterogeneity" / "partitions").glob("*.json")
    certificate = partition.read_bytes()
    partition.unlink()
    assert run(tmp_path) == 0 and partition.read_bytes() == certificate
    assert [path.stat().st_mtime_ns for path in cells] == before
    assert run(tmp_path, "--force") == 0
    assert all(path.stat().st_mtime_ns > then for path, then in zip(cells, before, strict=True))
    pd.testing.assert_frame_equal(records(tmp_path), kept)


@pytest.mark.slow
def test_several_processes_give_the_same_records(tmp_path):
    assert run(tmp_path / "one") == 0
    assert run(tmp_path / "two", "--jobs", "2") == 0
    pd.testing.assert_frame_equal(records(tmp_path / "one"), records(tmp_path / "two"))


def start(out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.run", *FAST, "--jobs", "1", "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_records(tmp_path):
    assert run(tmp_path / "whole") == 0
    killed = start(tmp_path / "killed")
    cells = tmp_path / "killed" / "heterogeneity" / "cells"
    until = time.time() + 60
    while not list(cells.glob("*.jsonl")) and time.time() < until:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    done = {path: path.stat().st_mtime_ns for path in cells.glob("*.jsonl")}
    assert 0 < len(done) < 3
    assert run(tmp_path / "killed") == 0
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())
    pd.testing.assert_frame_equal(records(tmp_path / "whole"), records(tmp_path / "killed"))


@pytest.mark.slow
def test_two_runs_on_one_folder_both_finish(tmp_path):
    both = [start(tmp_path) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert set(records(tmp_path)["label"]) == {"local", "fedavg", "centralised"}


def test_a_failing_cell_leaves_its_traceback_and_stops_no_other(tmp_path, capsys):
    diverging = ["--set=dense.epochs=1", "--set=dense.distil_steps=1"]
    diverging += ["--set=dense.synthesis_lr=1e30"]
    methods = ["--methods=dense,fedavg", *diverging]
    assert run(tmp_path, *methods) == 1
    frame = records(tmp_path).set_index("label")
    assert frame.loc["dense", "status"] == "failed" and "not finite" in frame.loc["dense", "reason"]
    assert set(frame.loc["fedavg", "status"]) == {"done"}
    (failed,) = (tmp_path / "heterogeneity" / "cells").glob("*.failed.json")
    assert "FloatingPointError" in json.loads(failed.read_text())["traceback"]
    assert "failed" in (tmp_path / "heterogeneity" / "table.md").read_text()


def test_a_damaged_record_is_set_aside_and_its_cell_runs_again(tmp_path, capsys):
    assert run(tmp_path) == 0
    kept = records(tmp_path)
    damaged = sorted((tmp_path / "heterogeneity" / "cells").glob("*.jsonl"))[0]
    damaged.write_text(damaged.read_text()[:100])
    assert run(tmp_path) == 0
    assert f"{damaged.name}: " in "".join(capsys.readouterr().out.split("\n"))
    assert damaged.with_name(f"{damaged.name}.damaged").exists()
    pd.testing.assert_frame_equal(records(tmp_path), kept)


def test_a_dry_run_prints_the_cells_and_runs_none(tmp_path, capsys):
    assert run(tmp_path, "--dry-run") == 0
    assert "3 cells, 0 done, 3 to run" in capsys.readouterr().out
    assert not (tmp_path / "heterogeneity").exists()


def test_a_users_own_suite_works(tmp_path):
    suite = tmp_path / "mine.toml"
    suite.write_text(
        'question = "mine?"\nomega = [1.0]\nclients = [2]\n[[method]]\nname = "fedavg"\n'
    )
    assert main([*TINY, "--suite", str(suite), "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert set(records(tmp_path, "mine")["label"]) == {"fedavg"}


EXAMPLES = Path(__file__).parents[1] / "examples"

WRONG = {
    "--suite heterogenity": "did you mean 'heterogeneity'",
    "--suite nowhere.toml": "no suite file",
    "--methods mosiac": "did you mean 'mosaic'",
    "--datasets digit": "did you mean 'digits'",
    "--scale qick": "did you mean 'quick'",
    "--set mosaic.lambda_x=1": "unknown setting of mosaic 'lambda_x'",
    "--set mosiac.lambda_d=1": "did you mean 'mosaic'",
    "--set lambda_d": "METHOD.KEY=VALUE",
    "--set taks.rounds=2": "did you mean 'task'",
    "--set rounds=2": "Did you mean task.rounds?",
    "--set task.model=foo": "unknown model 'foo'",
    "--set task.rounds=true": "task.rounds is 'true'; it must be a whole number",
    "--set mosaic.lambda_d=true": "mosaic.lambda_d is 'true'; it must be a finite number",
    "--set feddf.proxy=fashion_mnits": "did you mean 'fashion_mnist'",
    "--set mosaic.lambda_d=much": "must be a finite number",
    "--set mosaic.teacher=me": "possible: meta, experts, source",
    "--set task.steps=0": "must be at least 1",
    "--omega 0": "omega is '0'",
    "--omega much": "omega is 'much'",
    "--omega nan": "omega is 'nan'",
    "--omega 0.1,1e-1": "--omega has 0.1 and 1e-1, which are the same",
    "--omega ,": "--omega ',' is an empty list",
    "--methods ,": "--methods ',' is an empty list",
    "--datasets ,": "--datasets ',' is an empty list",
    "--methods fedavg,fedavg": "the list of methods has fedavg twice",
    f"--methods {EXAMPLES}/fedavgm.py,{EXAMPLES}/./fedavgm.py": (
        f"has {EXAMPLES}/fedavgm.py and {EXAMPLES}/./fedavgm.py, which are the same"
    ),
    "--datasets digits,digits": "the list of data sets has digits twice",
    "--clients 3,3": "--clients has 3 twice",
    "--seeds 0,0": "the list of seeds has 0 twice",
    "--gpu-share nan": "--gpu-share is nan",
    "--inception-weights /nonexistent": "no Inception weights at '/nonexistent'",
    "--metrics ecce": "unknown metric 'ecce'. A metric of your own is the path of a .py file",
    "--metrics ,": "--metrics ',' is an empty list",
    "--clients 0": "--clients is '0'",
    "--clients 5000": "clients",
    "--widths 1.5": "outside (0, 1]",
    "--widths wide": "widths are 'wide'",
    "--seeds 1.5": "seeds are '1.5'",
    "--seeds 0": "at least 1",
    "--jobs 0": "--jobs is 0",
    "--device cuda:9": "cuda",
    "--device tpu": "possible: auto, cpu, cuda",
    "--precision fp8": "possible: auto, fp32, bf16",
    "--out /proc/nothing": "cannot write to --out",
    "--data-dir /nonexistent": "/nonexistent (--data-dir) does not exist",
    "--datasets cifar10 --data-dir .": "--data-dir",
    "--set task.data=0123": "task.data is no setting",
}


@pytest.mark.usefixtures("no_methods_left")
@pytest.mark.parametrize("given", WRONG)
def test_a_wrong_command_is_explained_and_exits_with_2(given, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mosaic.fl.data.download._download", lambda *_: "offline")
    assert main([*FAST, "--jobs", "1", "--out", str(tmp_path / "out"), *given.split()]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert WRONG[given] in message
    assert not (tmp_path / "out" / "heterogeneity").exists()


OF_THE_MACHINE = ("--device cuda:9", "--out", "--datasets cifar10 --data-dir")
"""What is wrong for a run here, but not for a plan."""


@pytest.mark.usefixtures("no_methods_left")
@pytest.mark.parametrize(
    "given", [given for given in WRONG if not given.startswith(OF_THE_MACHINE)]
)
def test_a_dry_run_refuses_what_a_run_refuses_and_writes_nothing(given, tmp_path, capsys):
    options = [*FAST, "--jobs", "1", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main([*options, *given.split()]) == 2
    assert WRONG[given] in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", ["--seed=3", "--method=fedavg", "--omgea=0.1"])
def test_an_option_is_not_shortened_and_a_mistyped_one_gets_the_nearest(given, capsys):
    """--seed 3 would be three seeds."""
    with pytest.raises(SystemExit) as end:
        main([given])
    nearest = {"--seed=3": "--seeds", "--method=fedavg": "--methods", "--omgea=0.1": "--omega"}
    assert end.value.code == 2
    assert f"{given}; did you mean {nearest[given]}?" in capsys.readouterr().err


def test_a_dry_run_for_a_gpu_needs_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    options = [*FAST, "--device", "cuda", "--out", str(tmp_path / "out")]
    assert main([*options, "--dry-run", "--precision", "auto"]) == 0
    on_gpu = capsys.readouterr().out
    assert main([*options, "--dry-run", "--precision", "bf16"]) == 0
    assert on_gpu == capsys.readouterr().out
    assert "3 cells, 0 done, 3 to run" in on_gpu
    assert main([*options]) == 2
    assert "PyTorch sees no CUDA device" in capsys.readouterr().err


def test_a_malformed_suite_names_the_line(tmp_path, capsys):
    suite = tmp_path / "broken.toml"
    suite.write_text('question = "x"\nomega = [0.1\nclients = [3]\n')
    assert main(["--suite", str(suite), "--out", str(tmp_path)]) == 2
    assert "line 3" in capsys.readouterr().err
