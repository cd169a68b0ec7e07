"""Cells in the real stores: MLflow's SQLite, TensorBoard's event files, wandb's offline files."""

import json
import sqlite3
import struct
from pathlib import Path

import pytest

from benchmarks.run import main as run
from benchmarks.running.record_file import write_rows
from benchmarks.running.records import read_rows
from benchmarks.track import main as track
from benchmarks.tracking.tracking import open_tracker
from mosaic.fl.cache import use_cache, watch_stages

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

KEY = "0" * 16
TINY = "--omega=0.1 --clients=3 --widths=full --seeds=2 --device=cpu --precision=fp32 --methods "
TINY += "local,fedavg --set=task.rounds=2 --set=task.steps=2 --set=task.base_width=4 --jobs=2"


@pytest.fixture(autouse=True)
def no_account(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    monkeypatch.setenv("MOSAIC_DATA", "")
    yield
    use_cache(None)
    watch_stages(None)


def change_accuracy(suite: Path) -> None:
    """Write the record again with another number, as --force may."""
    path = suite / "cells" / f"{KEY}.jsonl"
    rows = read_rows(path)
    assert rows
    write_rows(path, [row | {"accuracy": 0.75} for row in rows])


def mlflow_runs(place: Path, suite: str = "mine"):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    found = client.get_experiment_by_name(suite)
    assert found is not None
    return client, client.search_runs([found.experiment_id])


def test_mlflow_has_a_run_per_cell(suite):
    pytest.importorskip("mlflow")
    assert track([str(suite), "--to", "mlflow"]) == 0
    client, runs = mlflow_runs(suite.parent / "tracking")
    statuses = {run.data.tags["mosaic.cell"]: run.info.status for run in runs}
    assert statuses == {KEY: "FINISHED", "f" * 16: "FAILED"}

    [done] = [run for run in runs if run.info.status == "FINISHED"]
    assert done.data.params["config.lr"] == "0.5" and done.data.tags["torch"] == "2.9"
    assert done.info.end_time - done.info.start_time == 62_500  # the cell's own, in milliseconds
    assert done.info.run_name == "fed/avg ü digits omega=0.1 N=3 full seed=4"
    assert done.data.metrics["accuracy"] == 0.5 and done.data.metrics["fid_domain"] == 7.5
    history = client.get_metric_history(done.info.run_id, "accuracy")
    assert [(point.step, point.value) for point in history] == [(1, 0.25), (2, 0.5)]
    names = {file.path for file in client.list_artifacts(done.info.run_id)}
    assert names == {"record.jsonl", f"{KEY}.npz", "figures"}
    names = [file.path for file in client.list_artifacts(done.info.run_id, "figures")]
    assert names == ["figures/generated_images.png", "figures/label_distribution.png"]


def test_mlflow_has_a_cell_once_whatever_happens(suite):
    pytest.importorskip("mlflow")
    for _ in range(2):
        assert track([str(suite), "--to", "mlflow"]) == 0
    client, runs = mlflow_runs(suite.parent / "tracking")
    first = {run.info.run_id for run in runs}
    assert len(first) == 2

    [done] = [run for run in runs if run.info.status == "FINISHED"]
    client.update_run(done.info.run_id, "RUNNING")  # as a kill leaves it
    change_accuracy(suite)
    assert track([str(suite), "--to", "mlflow"]) == 0
    _, runs = mlflow_runs(suite.parent / "tracking")
    assert len(runs) == 2 and len(first & {run.info.run_id for run in runs}) == 1
    assert [run.data.metrics["accuracy"] for run in runs if run.data.metrics] == [0.75]


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return reader


def test_tensorboard_has_a_folder_per_cell(suite, tmp_path):
    pytest.importorskip("tensorboard")
    for _ in range(2):
        assert track([str(suite), "--to", f"tensorboard:{tmp_path}/events"]) == 0
        [place] = (tmp_path / "events" / "mine").glob(f"*-{KEY}")
        assert len(list(place.glob("events*"))) == 1
    assert len(list((tmp_path / "events" / "mine").iterdir())) == 2
    reader = events(place)
    assert [(event.step, event.value) for event in reader.Scalars("accuracy")] == [
        (1, 0.25),
        (2, 0.5),
    ]
    tags = reader.Tags()
    assert tags["images"] == ["generated_images", "label_distribution"]
    assert "cell/text_summary" in tags["tensors"]
    assert {"record.jsonl", f"{KEY}.npz"} < {path.name for path in place.iterdir()}

    change_accuracy(suite)
    assert track([str(suite), "--to", f"tensorboard:{tmp_path}/events"]) == 0
    [place] = (tmp_path / "events" / "mine").glob(f"*-{KEY}")
    assert [event.value for event in events(place).Scalars("accuracy")] == [0.75, 0.75]


def wandb_records(path: Path) -> list:
    """The records of an offline run's file, which is a LevelDB log after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    records, content, place, block = [], b"", 7, 2**15
    while place < len(data):
        rest = block - place % block
        if rest < 7:  # no room for the head of a part
            place += rest
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        content += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = Record()
            record.ParseFromString(content)
            records.append(record)
            content = b""
    return records


def test_wandb_has_an_offline_run_per_cell(suite):
    pytest.importorskip("wandb")
    place = suite.parent / "tracking" / "wandb"
    for _ in range(2):
        assert track([str(suite), "--to", "wandb"]) == 0
    assert len(list((place / "wandb").glob("offline-run-*"))) == 2

    curves = {}
    for path in (place / "wandb").glob("offline-run-*/*.wandb"):
        records = wandb_records(path)
        started = next(record.run for record in records if record.HasField("run"))
        config = {item.key: json.loads(item.value_json) for item in started.config.update}
        assert started.run_group == "mine" and config["config.lr"] == 0.5
        points = []
        for record in records:
            values = {
                item.key or item.nested_key[0]: item.value_json for item in record.history.item
            }
            if "accuracy" in values:
                points.append((int(values["_step"]), float(values["accuracy"])))
        curves[config["cell"]] = points
    assert curves == {KEY: [(1, 0.25), (2, 0.5)], "f" * 16: []}
    [files] = [path.parent for path in place.rglob(f"{KEY}.npz")]
    assert (files / "record.jsonl").exists() and len(list(files.rglob("*.png"))) == 2

    change_accuracy(suite)
    assert track([str(suite), "--to", "wandb"]) == 0
    assert len(list((place / "wandb").glob("offline-run-*"))) == 2


def test_a_run_with_two_processes_tracks_each_cell_once_also_when_it_goes_on(tmp_path, unrendered):
    """The first run has no tracker: what it finished is written too."""
    pytest.importorskip("mlflow")
    command = [*TINY.split(), "--out", str(tmp_path)]
    assert run([*command, "--seeds=1"]) == 0
    for _ in range(2):
        assert run([*command, "--track", "mlflow"]) == 0
    _, runs = mlflow_runs(tmp_path / "tracking", "heterogeneity")
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["mosaic.cell"] for run in runs}) == 4
    with sqlite3.connect(tmp_path / "tracking" / "mlflow.db") as store:
        assert store.execute("select count(*) from runs").fetchone() == (4,)


def test_a_tracker_that_cannot_be_opened_is_an_error_before_any_cell_runs(tmp_path, capsys):
    pytest.importorskip("mlflow")
    out = tmp_path / "out"
    assert run([*TINY.split(), "--out", str(out), "--track", "mlflow:nonsense://x"]) == 2
    assert "cannot open --track mlflow:" in capsys.readouterr().err
    assert not list(out.glob("heterogeneity/cells/*"))


def test_places_by_default_are_below_the_out_folder(tmp_path):
    pytest.importorskip("tensorboard")
    assert open_tracker("tensorboard", tmp_path).place == f"{tmp_path}/tracking/tensorboard"
