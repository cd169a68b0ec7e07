"""Damaged files that a user gives: an error that names them, or the content that is there."""

import json

import numpy as np
import pytest
from damage import damaged, few
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.planning.settings import read_params
from mosaic.fl.data.partition_file import read_partition
from mosaic.fl.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("given")


def only_an_input_error(read, path) -> None:
    try:
        read(path)
    except InputError as error:
        assert str(path) in str(error)


@few(60)
@given(data=st.data())
def test_a_partition_as_json(folder, data):
    path = folder / "split.json"
    content = json.dumps({"clients": [[0, 5, 7], [1, 2]], "of": "mine"}).encode()
    path.write_bytes(data.draw(damaged(content)))
    only_an_input_error(read_partition, path)


@few(60)
@given(data=st.data())
def test_a_partition_as_arrays(folder, data):
    path = folder / "split.npz"
    np.savez(path, client_0=np.arange(5), client_1=np.arange(5, 9))
    path.write_bytes(data.draw(damaged(path.read_bytes(), by_line=False)))
    only_an_input_error(read_partition, path)


def test_nested_without_end(folder):
    path = folder / "deep.json"
    path.write_text("[" * 100_000)
    only_an_input_error(read_partition, path)


@few(60)
@given(data=st.data())
def test_a_tuned_file(folder, data):
    path = folder / "best.toml"
    content = b'# trial 3\n[mosaic]\nlambda_d = 4.5\nstudent = "meta"\n\n[task]\nlr = 0.01\n'
    path.write_bytes(data.draw(damaged(content, by_line=False)))
    only_an_input_error(read_params, path)
