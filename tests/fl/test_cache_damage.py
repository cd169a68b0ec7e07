"""Damaged or half-written results are noticed and computed again."""

import json
import os
import warnings
from pathlib import Path

import pytest
from example_stages import Config, call, files, identical, model, weights

from mosaic.fl.artifacts import checksum
from mosaic.fl.cache import use_cache


def flip_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGES = {
    "last bit": lambda tensors, notes: flip_bit(tensors, -1),
    "first bit": lambda tensors, notes: flip_bit(tensors, 0),
    "tensors cut short": lambda tensors, notes: tensors.write_bytes(tensors.read_bytes()[:-4]),
    "notes a folder": lambda tensors, notes: (notes.unlink(), notes.mkdir()),
    "tensors a folder": lambda tensors, notes: (tensors.unlink(), tensors.mkdir()),
    "tensors missing": lambda tensors, notes: tensors.unlink(),
    "notes cut short": lambda tensors, notes: notes.write_text(notes.read_text()[:-10]),
    "notes empty": lambda tensors, notes: notes.write_text(""),
    "notes not text": lambda tensors, notes: notes.write_bytes(b"\xff\xfe\x00"),
    "notes a list": lambda tensors, notes: notes.write_text("[]"),
    "notes an empty dict": lambda tensors, notes: notes.write_text("{}"),
    "another number": lambda tensors, notes: replace_text(notes, "0.333", "0.334"),
    "another cost": lambda tensors, notes: replace_text(notes, '"parts": 40', '"parts": 41'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_result_is_noticed_with_a_warning_and_computed_again(store, computed, damage):
    first = model(Config())
    damage(files(store, "model", ".safetensors")[0], files(store, "model", ".json")[0])
    computed.clear()

    with pytest.warns(UserWarning, match="damaged stage .*model.*computing it again") as caught:
        again = model(Config())
    assert computed == ["model"] and identical(again, first)
    assert len(caught) == 1 and len(str(caught[0].message).splitlines()) == 1
    assert len(files(store, "model", ".json.damaged")) == 1  # nothing is deleted

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert identical(model(Config()), first)
    assert computed == ["model"]


def test_costs_of_a_later_version_are_read_without_what_is_new_in_them(store, computed):
    first, account, _ = call(weights, Config())
    [path] = files(store, "weights", ".json")
    note = json.loads(path.read_text())
    [cost] = note["costs"].values()
    cost["joule"] = 3.0
    data = path.with_suffix(".safetensors").read_bytes()
    note["sha256"] = checksum(data, note["artifact"], note["costs"])
    path.write_text(json.dumps(note | {"version": 9}))
    again, account_again, _ = call(weights, Config())
    assert computed == ["weights"] and identical(again, first)
    assert account_again.stages == account.stages


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_write_that_is_interrupted_leaves_no_result(store, monkeypatch, suffix):
    replace = os.replace

    def interrupted(source, target):
        if str(target).endswith(suffix):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights(Config())
    monkeypatch.setattr(os, "replace", replace)

    hidden = [path for path in (store / "weights").iterdir() if path.name.startswith(".")]
    assert not hidden  # what was not complete is removed
    assert not weights.is_cached(Config())

    use_cache(None)
    wanted = weights(Config())
    use_cache(store)
    assert identical(weights(Config()), wanted) and weights.is_cached(Config())


def test_a_hidden_file_that_was_being_written_is_not_a_result(store, computed):
    weights(Config())
    for path in files(store, "weights", ".json") + files(store, "weights", ".safetensors"):
        path.rename(path.with_name(f".{path.name}.4711"))
    weights(Config())
    assert computed == ["weights"] * 2


def test_results_are_stored_as_safetensors_and_json(store):
    model(Config())
    suffixes = {path.suffix for path in (store / "model").iterdir()}
    assert suffixes <= {".safetensors", ".json", ".lock"}
    note = json.loads(files(store, "model", ".json")[0].read_text())
    assert note["artifact"]["dict"]["notes"]["dict"]["name"] == {"value": "cnn"}
