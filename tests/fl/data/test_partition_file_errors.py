"""What is said of a partition file with a mistake, and of a task that does not suit it."""

import json

import numpy as np
import pytest
from partition_builders import task_of

from mosaic.fl.data.federation import open_federation, split
from mosaic.fl.data.partition_file import register_partition
from mosaic.fl.errors import InputError
from mosaic.fl.task import Task

pytestmark = pytest.mark.usefixtures("registry")

N_DIGITS = 1438  # training images


def assert_refused(path, *texts: str) -> None:
    with pytest.raises(InputError) as caught:
        register_partition(path)
    for text in (str(path), *texts):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], "lists no clients"),
        ({}, "lists no clients"),
        ({"clients": []}, "lists no clients"),
        (3, "has no lists of images"),
        ({"clients": "all"}, "has no lists of images"),
        ([[0], []], "client 1 (the first is 0) has no list of images"),
        ([[0], 1], "client 1 (the first is 0) has no list of images"),
        ([0, 1], "client 0 (the first is 0) has no list of images"),
        ([[0], [1.0]], "client 1 (the first is 0) has the image 1.0"),
        ([[0], [True]], "has the image True"),
        ([[0], ["1"]], "has the image '1'"),
        ([[0], [-1]], "has the image -1. Give positions in the training split"),
        ([[0], [2**64]], "has the image 18446744073709551616"),
        ([[0, 1], [2, 1]], "image 1 is listed more than once, for client 0 and 1"),
        ([[0, 1], [2, 2]], "image 2 is listed more than once, for client 1"),
        ({"0": [0], "2": [1]}, "has the clients 0, 2. Number them from 0 without gaps"),
        ({"0": [0], "00": [1]}, "Number them from 0 without gaps"),
        ({"0": [0], "hospital": [1]}, "has the entry 'hospital', which is not the number"),
    ],
)
def test_a_json_file_of_another_form(file, content, text):
    file.write_text(json.dumps(content))
    assert_refused(file, text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "cannot read"),
        (b'{"clients": [[0, 1', "cannot read"),
        (b"\xff\xfe\x00", "cannot read"),
        (b'{"0": [1], "0": [2]}', "it has the entry '0' twice"),
    ],
)
def test_a_damaged_json_file(file, content, text):
    file.write_bytes(content)
    assert_refused(file, text)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({}, "lists no clients"),
        ({"client_0": np.array([0.5])}, "client_0 is float64 of shape (1,)"),
        ({"client_0": np.array([[1, 2]])}, "client_0 is int64 of shape (1, 2)"),
        ({"client_0": np.array([])}, "client 0 (the first is 0) has no list of images"),
        ({"client_0": np.array([-3])}, "has the image -3"),
        ({"client_0": np.array([[1], [2, 3]], dtype=object)}, "cannot read"),
        ({"client_1": np.array([0])}, "has the clients client_1. Number them from 0"),
        ({"train": np.array([0])}, "has the entry 'train'"),
    ],
)
def test_an_npz_file_of_another_form(tmp_path, arrays, text):
    np.savez(tmp_path / "split.npz", **arrays)
    assert_refused(tmp_path / "split.npz", text)


def test_a_damaged_npz_file(tmp_path):
    path = tmp_path / "split.npz"
    np.savez(path, client_0=np.arange(3000))
    path.write_bytes(path.read_bytes()[:2000])
    assert_refused(path, "cannot read")


def test_a_path_that_is_no_partition_file(tmp_path):
    assert_refused(tmp_path / "nowhere.json", "there is no partition file")
    (tmp_path / "split.csv").touch()
    assert_refused(tmp_path / "split.csv", "neither .json nor .npz")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n_clients": 4}, "lists 3 clients, but n_clients is 4. Set n_clients to 3"),
        ({"n_train": 100}, "n_train is 100, but .* lists the training images. Leave n_train out"),
        (
            {"min_samples": 21},
            r"client 0 \(the first is 0\) has \d+ images for training, 20 before",
        ),
    ],
)
def test_a_task_that_does_not_suit_the_file(file, changes, text):
    with pytest.raises(InputError, match=text):
        open_federation(task_of(file, **changes))


def test_a_client_that_loses_too_many_images_to_validation(file):
    assert open_federation(task_of(file, validation=0.0, min_samples=20)).sizes[0] == 20
    with pytest.raises(InputError, match="at least 20 are needed. Give it more images"):
        open_federation(task_of(file, validation=0.5, min_samples=20))
    with pytest.raises(InputError, match="client 0 .* has 0 images for training"):
        file.write_text(json.dumps([split(Task())[1].tolist()]))
        open_federation(task_of(file, n_clients=1, min_samples=1))


def test_a_file_of_another_data_set(file):
    file.write_text(json.dumps([[0, 1], [2, N_DIGITS]]))
    with pytest.raises(InputError, match=r"client 1 has the image 1438, .* the images 0 to 1437"):
        open_federation(task_of(file, n_clients=2))


def test_a_partition_that_was_not_registered():
    with pytest.raises(InputError, match="partition 'abc' is not known to this process"):
        open_federation(Task(law="file", partition="abc"))


def test_law_and_partition_go_together():
    with pytest.raises(InputError, match="law is 'file', but no partition is given"):
        Task(law="file")
    with pytest.raises(InputError, match="law is 'class_balanced'. Set law to 'file'"):
        Task(partition="abc")
