"""Partitions from files: their forms, and the federations they give."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from partition_builders import LISTS, task_of

from mosaic.fl import keys
from mosaic.fl.data.federation import open_federation, split
from mosaic.fl.data.loading import load
from mosaic.fl.data.partition_file import read_partition, register_partition, write_partition
from mosaic.fl.errors import InputError
from mosaic.fl.task import Task

N_DIGITS = 1438  # training images


pytestmark = pytest.mark.usefixtures("registry")


# Reading


def test_all_forms_of_a_file_are_the_same_partition(file, tmp_path):
    name = register_partition(file)
    assert len(name) == 16 and int(name, 16) >= 0
    numbered = {str(client): LISTS[client] for client in (2, 0, 1)}
    contents = [LISTS, numbered, {"clients": numbered, "comment": "from Flower"}]
    for content in contents:
        path = tmp_path / "other.json"
        path.write_text(json.dumps(content))
        assert register_partition(path) == name

    arrays = [np.array(positions) for positions in LISTS]
    np.savez(tmp_path / "arr.npz", *arrays)
    named = {f"client_{k}": arrays[k].astype(np.uint16) for k in (1, 2, 0)}
    np.savez(tmp_path / "client.npz", **named)
    assert register_partition(tmp_path / "arr.npz") == name
    assert register_partition(str(tmp_path / "client.npz")) == name


def test_twelve_clients_come_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "split.npz"
    np.savez(path, **{f"client_{k}": np.array([k]) for k in range(12)})
    assert [positions.tolist() for positions in read_partition(path)] == [[k] for k in range(12)]


def test_the_order_of_clients_counts_and_that_of_a_list_does_not(file):
    name = register_partition(file)
    file.write_text(json.dumps([sorted(positions) for positions in LISTS]))
    assert register_partition(file) == name
    file.write_text(json.dumps(LISTS[::-1]))
    assert register_partition(file) != name


# The federation


def test_clients_have_the_images_of_their_lists(file):
    federation = open_federation(task_of(file, validation=0.0))
    for shard, positions in zip(federation.shards, LISTS, strict=True):
        assert shard.indices.tolist() == sorted(positions)
    assert federation.pool.indices.tolist() == sorted(LISTS[0] + LISTS[1] + LISTS[2])
    assert federation.sizes == [20, 20, 100]
    labels = load("digits", "train").labels
    counts = [labels[positions].bincount(minlength=10).tolist() for positions in LISTS]
    assert federation.label_counts.tolist() == counts


def test_validation_images_are_taken_from_the_lists(file):
    task = task_of(file, validation=0.1)
    federation = open_federation(task)
    _, held_out, parts = split(task)
    assert torch.equal(held_out, split(Task(n_clients=3))[1])  # as in any task of that seed
    lost = set(held_out.tolist())
    for shard, positions in zip(federation.shards, LISTS, strict=True):
        assert shard.indices.tolist() == sorted(set(positions) - lost)
    assert federation.partition.label_counts.tolist() == federation.label_counts.tolist()
    assert sum(federation.sizes) == 140 - len(lost & set(sum(LISTS, [])))
    assert parts.certificate()["sizes"] == federation.sizes


def test_the_certificate_says_that_a_file_gave_the_partition(file):
    certificate = open_federation(task_of(file, omega=0.1)).partition.certificate()
    assert certificate["law"] == "file" and certificate["omega"] == "inf"
    assert certificate["moved"] == 0


def test_the_pool_without_clients_is_that_of_the_file(file):
    task = task_of(file, widths=(1.0, 0.5, 0.5))
    pooled = open_federation(task.without_clients()).pool
    assert torch.equal(pooled.indices, open_federation(task).pool.indices)
    assert task.without_clients().full_width
    assert open_federation(task.without_models()).sizes == open_federation(task).sizes


# Writing


@pytest.mark.parametrize("law", ("class", "class_balanced", "client"))
@pytest.mark.parametrize("validation", (0.0, 0.1))
def test_a_written_partition_gives_the_same_federation(tmp_path, law, validation):
    task = Task(n_clients=7, omega=0.2, law=law, validation=validation, seed=3)
    path = tmp_path / "new folder" / "split.json"
    write_partition(path, task)
    again = replace(task, law="file", partition=register_partition(path))
    assert_same_federation(task, again)
    # Writing the partition of a file gives that file.
    content = path.read_bytes()
    write_partition(path, again)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == ["split.json"]


def assert_same_federation(task: Task, again: Task) -> None:
    before, after = open_federation(task), open_federation(again)
    for shard, same in zip((*before.shards, before.pool), (*after.shards, after.pool), strict=True):
        assert torch.equal(shard.indices, same.indices)
        assert torch.equal(shard.label_counts, same.label_counts)
    assert torch.equal(before.validation_images, after.validation_images)
    first, second = before.partition.certificate(), after.partition.certificate()
    assert first["sha256"] == second["sha256"]
    assert first["label_counts"] == second["label_counts"]


def test_a_written_partition_of_a_part_of_the_data_has_the_clients_images(tmp_path):
    task = Task(n_clients=4, omega=1.0, n_train=300)
    write_partition(tmp_path / "split.json", task)
    name = register_partition(tmp_path / "split.json")
    again = replace(task, n_train=None, law="file", partition=name)
    pairs = zip(open_federation(task).shards, open_federation(again).shards, strict=True)
    for shard, same in pairs:
        assert torch.equal(shard.indices.sort().values, same.indices)


def test_a_partition_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"choose a name that ends in \.json"):
        write_partition(tmp_path / "split.npz", Task())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_partition(tmp_path / "file" / "split.json", Task())


# Other libraries


def test_a_partition_of_flower_is_read(tmp_path):
    partitioners = pytest.importorskip("flwr_datasets.partitioner")
    datasets = pytest.importorskip("datasets")
    labels = load("digits", "train").labels
    partitioner = partitioners.DirichletPartitioner(
        num_partitions=5, partition_by="label", alpha=0.5, min_partition_size=20, seed=1
    )
    columns = {"label": labels.tolist(), "position": list(range(len(labels)))}
    partitioner.dataset = datasets.Dataset.from_dict(columns)
    parts = [list(partitioner.load_partition(k)["position"]) for k in range(5)]

    path = tmp_path / "flower.json"
    path.write_text(json.dumps(parts))
    federation = open_federation(task_of(path, n_clients=5, validation=0.0))
    assert federation.pool.size == N_DIGITS
    for shard, part in zip(federation.shards, parts, strict=True):
        assert shard.indices.tolist() == sorted(part)


# Keys


def test_what_a_task_does_not_use_is_left_out_of_its_key():
    key = json.loads(keys.canonical(Task()))
    assert key.keys().isdisjoint({"participation", "partition", "data"})
    assert key["max_draws"] == 1000


def test_tasks_with_a_partition_have_keys_of_their_own(file):
    assert register_partition(file) in keys.canonical(task_of(file))
