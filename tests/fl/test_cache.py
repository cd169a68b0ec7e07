"""Stages: a hit equals a miss, in the artifact, in the caller's random state and in the bill; damage is survived."""

import json
import multiprocessing
import os
import time
import warnings
from dataclasses import dataclass

import pytest
import torch

from mosaic.fl import keys
from mosaic.fl.cache import LazyModels, stage, use_cache, watch_stages
from mosaic.fl.channel import upload
from mosaic.fl.contract import added_later
from mosaic.fl.costs import Account, opened
from mosaic.fl.keys import canonical
from mosaic.fl.stages import federated_model, final_client_models


@dataclass(frozen=True)
class Recipe:
    size: int = 3
    scale: float = 1.0


made: list[str] = []


@stage(version=1)
def dough(recipe: Recipe, salt: float = 0.0) -> dict:
    made.append("dough")
    return upload({"weight": recipe.scale * torch.randn(recipe.size) + salt}, "dough")


@stage(version=1)
def bread(recipe: Recipe) -> dict:
    made.append("bread")
    time.sleep(0.01)
    kernel = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    loaf = upload([dough(recipe)["weight"], torch.arange(3), torch.tensor(2.5)], "loaf")
    return {
        "loaf": loaf,
        "kernel": kernel,
        "notes": {"heat": 1 / 3, "nan": None, "name": "rye"},
        "empty": [],
    }


@pytest.fixture(autouse=True)
def nothing_made_yet():
    made.clear()


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    return a == b and type(a) is type(b)


def of(function, *args):
    """What a stage returns, what it is charged, and what is left of the caller's random numbers."""
    torch.manual_seed(7)
    with opened(Account()) as account:
        artifact = function(*args)
    return artifact, account, torch.get_rng_state()


def files(store, name: str, suffix: str):
    return [
        p
        for p in (store / name).iterdir()
        if p.name.endswith(suffix) and not p.name.startswith(".")
    ]


# A hit equals a miss


def test_a_hit_equals_a_miss(store):
    miss, hit = of(bread, Recipe())[0], of(bread, Recipe())[0]
    assert made == ["bread", "dough"]
    assert equal(miss, hit)


def test_without_a_store_a_stage_is_computed_each_time_to_the_same_end(store):
    stored = bread(Recipe())
    use_cache(None)
    assert equal(bread(Recipe()), stored) and made == ["bread", "dough"] * 2


def test_the_callers_random_state_is_the_same_after_a_hit_and_a_miss(store):
    torch.manual_seed(7)
    untouched = torch.get_rng_state()
    for _ in range(2):
        assert torch.equal(of(bread, Recipe())[2], untouched)


def test_a_stage_does_not_depend_on_the_callers_random_state(store):
    torch.manual_seed(1)
    first = bread(Recipe())
    use_cache(None)
    torch.manual_seed(2)
    assert equal(bread(Recipe()), first)


def test_equal_arguments_are_one_artifact_however_they_are_given(store):
    a = [dough(Recipe(3)), dough(Recipe(size=3, scale=1.0), 0.0), dough(recipe=Recipe(), salt=0.0)]
    assert made == ["dough"] and equal(a[0], a[1]) and equal(a[0], a[2])
    dough(Recipe(), 1.0)
    dough(Recipe(4))
    assert made == ["dough"] * 3
    assert dough.is_cached(Recipe(4)) and not dough.is_cached(Recipe(5))


def test_a_new_version_is_a_new_artifact(store):
    @stage(version=1)
    def answer() -> int:
        return 41

    old = answer

    @stage(version=2)
    def answer() -> int:
        return 42

    assert (old(), answer(), old()) == (41, 42, 41)


def test_only_plain_values_are_in_a_key():
    assert canonical({"b": float("inf"), "a": (1, [Recipe()])}) == canonical(
        {"a": [1, (Recipe(),)], "b": float("inf")}
    )
    with pytest.raises(TypeError, match="not Tensor"):
        canonical(torch.zeros(1))


def test_the_watcher_hears_of_what_is_computed_and_not_of_what_is_found(store):
    heard = []
    watch_stages(heard.append)
    try:
        bread(Recipe())
        bread(Recipe())
    finally:
        watch_stages(None)
    assert heard == ["bread", "dough"]


# Costs


def test_costs_are_charged_once_also_on_a_hit_and_for_nested_stages_too(store):
    """The dough is 3 float32, 12 bytes; the loaf has those, 3 int64 and one float32: 12 + 24 + 4 = 40."""
    miss, hit = of(bread, Recipe())[1], of(bread, Recipe())[1]
    assert miss.staged().upload == hit.staged().upload == {"dough": 12, "loaf": 40}
    assert miss.staged().seconds == hit.staged().seconds >= 0.01
    assert miss.own.upload == hit.own.upload == {}
    with opened(Account()) as account:
        for _ in range(3):
            bread(Recipe())
            dough(Recipe())
    assert account.total().upload == {"dough": 12, "loaf": 40}
    assert len(account.stages) == 2


def test_a_stage_is_charged_its_own_seconds_and_the_caller_none_of_them(store):
    @stage(version=1)
    def slow() -> int:
        time.sleep(0.2)
        return 1

    for _ in range(2):
        _, account, _ = of(slow)
        assert account.own.seconds < 0.1
        assert 0.2 <= account.staged().seconds == account.total().seconds - account.own.seconds


def test_a_nested_stages_seconds_are_not_counted_twice(store):
    @stage(version=1)
    def inner() -> int:
        time.sleep(0.2)
        return 1

    @stage(version=1)
    def outer() -> int:
        return inner()

    _, account, _ = of(outer)
    assert 0.2 <= account.staged().seconds < 0.35


def test_a_stage_that_fails_leaves_nothing_and_is_tried_again(store):
    @stage(version=1)
    def moody() -> int:
        made.append("moody")
        if len(made) == 1:
            raise FloatingPointError("no")
        return 1

    with opened(Account()) as account:
        with pytest.raises(FloatingPointError):
            moody()
        assert moody() == 1
    assert len(account.stages) == 1


# Damage and death


def spoil(path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, notes: spoil(tensors, -1),
        lambda tensors, notes: spoil(tensors, 0),
        lambda tensors, notes: tensors.write_bytes(tensors.read_bytes()[:-4]),
        lambda tensors, notes: tensors.unlink(),
        lambda tensors, notes: notes.write_text(notes.read_text()[:-10]),
        lambda tensors, notes: notes.write_text(""),
        lambda tensors, notes: notes.write_bytes(b"\xff\xfe\x00"),
        lambda tensors, notes: notes.write_text("[]"),
        lambda tensors, notes: notes.write_text("{}"),
        lambda tensors, notes: notes.write_text(notes.read_text().replace("0.333", "0.334")),
        lambda tensors, notes: notes.write_text(
            notes.read_text().replace('"loaf": 40', '"loaf": 41')
        ),
    ],
    ids=[
        "last bit",
        "first bit",
        "short",
        "gone",
        "cut",
        "empty",
        "bytes",
        "list",
        "dict",
        "a number",
        "a cost",
    ],
)
def test_a_damaged_artifact_is_found_with_a_warning_and_computed_again(store, damage):
    first = bread(Recipe())
    damage(files(store, "bread", ".safetensors")[0], files(store, "bread", ".json")[0])
    made.clear()
    with pytest.warns(UserWarning, match="damaged stage .*bread.*computing it again"):
        again = bread(Recipe())
    assert made == ["bread"] and equal(again, first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(bread(Recipe()), first)
    assert made == ["bread"]


@pytest.mark.parametrize("killed_at", [".safetensors", ".json"])
def test_a_write_that_is_killed_leaves_no_half_artifact(store, monkeypatch, killed_at):
    whole = os.replace

    def killed(source, target):
        if str(target).endswith(killed_at):
            raise KeyboardInterrupt
        whole(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        dough(Recipe())
    monkeypatch.setattr(os, "replace", whole)
    assert [
        p for p in (store / "dough").iterdir() if p.name.startswith(".")
    ]  # what was written aside still lies there
    assert not dough.is_cached(Recipe())
    use_cache(None)
    wanted = dough(Recipe())
    use_cache(store)
    assert equal(dough(Recipe()), wanted) and dough.is_cached(Recipe())


def test_a_file_that_was_being_written_aside_is_not_an_artifact(store):
    dough(Recipe())
    for path in files(store, "dough", ".json") + files(store, "dough", ".safetensors"):
        path.rename(path.with_name(f".{path.name}.4711"))
    dough(Recipe())
    assert made == ["dough"] * 2


def test_artifacts_are_safetensors_and_json(store):
    bread(Recipe())
    assert {p.suffix for p in (store / "bread").iterdir()} <= {".safetensors", ".json", ".lock"}
    note = json.loads(files(store, "bread", ".json")[0].read_text())
    assert note["artifact"]["dict"]["notes"]["dict"]["name"] == {"value": "rye"}


# Two processes


@stage(version=1)
def slow_bread(log: str) -> dict:
    with open(log, "a") as lines:
        lines.write(f"{os.getpid()}\n")
    time.sleep(0.5)
    return {"loaf": torch.randn(4)}


def bake(folder, log, start, results) -> None:
    use_cache(folder)
    start.wait()
    results.put(slow_bread(str(log))["loaf"].tolist())


def test_two_processes_that_need_the_same_stage_compute_it_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    start, results, log = spawn.Barrier(2), spawn.Queue(), tmp_path / "log"
    bakers = [
        spawn.Process(target=bake, args=(tmp_path / "store", log, start, results)) for _ in range(2)
    ]
    for baker in bakers:
        baker.start()
    loaves = [results.get(timeout=60) for _ in bakers]
    for baker in bakers:
        baker.join(60)
    assert loaves[0] == loaves[1]
    assert len(log.read_text().splitlines()) == 1
    assert [baker.exitcode for baker in bakers] == [0, 0]


# The real stages


def test_a_warm_up_that_goes_on_from_the_store_is_the_one_that_never_stopped(store, task, tmp_path):
    federated_model(task, 1)
    resumed, clients = federated_model(task, 2), list(final_client_models(task))
    use_cache(tmp_path / "another")
    assert equal(federated_model(task, 2), resumed) and equal(
        list(final_client_models(task)), clients
    )
    use_cache(store)
    assert equal(federated_model(task, 2), resumed) and equal(
        list(final_client_models(task)), clients
    )


def test_of_many_models_only_a_few_stay_in_memory_and_each_is_computed_once(store):
    asked = []
    models = LazyModels(lambda i: asked.append(i) or {"w": torch.full((1,), i)}, 5, in_memory=2)
    assert asked == [0, 1, 2, 3, 4] and len(models) == 5
    assert [int(model["w"]) for model in models] == [0, 1, 2, 3, 4] and len(asked) == 10
    assert int(models[4]["w"]) == 4 and len(asked) == 10  # one of the last two
    with pytest.raises(IndexError, match="no item 5 of 5"):
        models[5]


def test_without_a_store_all_models_stay_in_memory():
    use_cache(None)
    asked = []
    models = LazyModels(lambda i: asked.append(i), 30, in_memory=2)
    assert list(models) == [None] * 30 and asked == list(range(30))


def test_two_paths_to_the_same_warm_up_are_one_bill(store, task):
    bills = []
    for ask in (
        lambda: (final_client_models(task), federated_model(task, 2)),
        lambda: federated_model(task, 2),
    ):
        with opened(Account()) as account:
            ask()
        bills.append(account.stages)
    assert bills[0] == bills[1]


def test_the_store_is_not_a_part_of_a_key(store, tmp_path):
    here = dough.key_of(Recipe())
    use_cache(tmp_path / "elsewhere")
    assert dough.key_of(Recipe()) == here and len(here) == 32
    assert keys.stage_key("dough", 1, {"recipe": Recipe(), "salt": 0.0}) == here


def test_a_field_that_came_later_leaves_older_keys_as_they_are():
    @dataclass(frozen=True)
    class Old:
        a: int = 1

    @dataclass(frozen=True)
    class New:
        a: int = 1
        b: float = added_later(0.5)

    assert canonical(New()).replace("New", "Old") == canonical(Old())
    assert canonical(New(b=0.25)) != canonical(New())
