"""Where data are looked for, and downloads."""

import math
import os
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from data_files import (
    WRITERS,
    assert_sound,
    offline,
    pixels,
    write_cifar10,
    write_fashion_mnist,
    write_idx,
    write_mnist,
)

from mosaic.fl.data import download, loading
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import (
    fingerprint,
    is_here,
    load,
    load_checked,
    place_of,
    use_data_dir,
)
from mosaic.fl.data.user_data import register_data
from mosaic.fl.errors import InputError
from mosaic.fl.task import Task

pytestmark = pytest.mark.usefixtures("no_data")


def test_every_data_set_with_files_has_a_download():
    for source in DATASETS.values():
        assert bool(source.files) == (source.fetch is not None)


@pytest.mark.parametrize("name", ("mnist", "fashion_mnist", "cifar10", "cifar100", "food101"))
def test_a_download_uses_a_class_of_torchvision(name, monkeypatch, tmp_path):
    calls = []
    class_name = DATASETS[name].fetch.keywords["class_name"]
    monkeypatch.setattr(
        f"torchvision.datasets.{class_name}",
        lambda root, download: calls.append((root, download)),
    )
    DATASETS[name].fetch(tmp_path)
    assert class_name.lower() == name.replace("_", "")
    assert calls == [(tmp_path, True)]


def write_npz(path: Path) -> Path:
    images = pixels(20, 8, 8)
    labels = np.arange(20) % 2
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    return path


def use_fetch(monkeypatch, fetch) -> None:
    """Let MNIST be downloaded by `fetch`."""
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], fetch=fetch))


@pytest.mark.parametrize(
    "inside", ("", "cifar10", "cifar10/cifar-10-batches-py", "cifar-10-batches-py")
)
def test_all_usual_layouts_of_folders_are_recognised(inside, tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "data" / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cifar-10-batches-py").rename(tmp_path / "data" / inside)
    use_data_dir(tmp_path / "data")
    assert_sound(load("cifar10", "train"), 12)


def test_the_order_in_which_folders_are_searched(tmp_path, monkeypatch):
    """--data-dir, MOSAIC_DATA, the system's copy, the cache of downloads: n shows which is used."""

    def write(root: Path, n: int) -> None:
        write_idx(root / "t10k-images-idx3-ubyte.gz", pixels(n, 28, 28))
        write_idx(root / "t10k-labels-idx1-ubyte.gz", np.zeros(n, np.uint8))

    def n_images() -> int:
        loading._load.cache_clear()
        return len(load("fashion_mnist", "test").labels)

    write(tmp_path / "home" / ".cache" / "mosaic-bench" / "data" / "FashionMNIST" / "raw", 1)
    assert n_images() == 1
    write(tmp_path / "system", 2)
    assert n_images() == 2
    write(tmp_path / "variable", 3)
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path / "variable"))
    assert n_images() == 3
    write(tmp_path / "option" / "fashion_mnist", 4)
    use_data_dir(tmp_path / "option")
    assert n_images() == 4
    use_data_dir(None)
    assert n_images() == 4


def test_data_are_kept_in_memory_per_data_dir(tmp_path):
    write_mnist(tmp_path / "a")
    use_data_dir(tmp_path / "a")
    first = load("mnist", "train")
    assert load("mnist", "train") is first
    write_mnist(tmp_path / "b")
    use_data_dir(tmp_path / "b")
    assert load("mnist", "train") is not first


def test_files_that_change_in_a_running_process_are_read_again(tmp_path):
    files = write_mnist(tmp_path)
    use_data_dir(tmp_path)
    first = load("mnist", "train")
    content = bytearray(files["train"].read_bytes())
    content[-1] ^= 1
    files["train"].write_bytes(content)
    os.utime(files["train"], ns=(1, 1))
    assert fingerprint(load("mnist", "train")) != fingerprint(first)


@pytest.mark.parametrize("name", WRITERS)
def test_absent_data_without_a_network_name_three_ways_to_get_them(name, tmp_path):
    with pytest.raises(InputError) as caught:
        load(name, "test")
    text = str(caught.value)
    assert "this test is offline" in text
    assert "--data-dir or MOSAIC_DATA" in text and DATASETS[name].files["test"][0] in text
    package = (
        "apt-get install dataset-fashion-mnist"
        if name == "fashion_mnist"
        else "no package of the system's"
    )
    assert package in text
    assert "go online" in text and "torchvision" in text
    assert "'digits'" in text


def test_a_download_is_complete_or_not_there(tmp_path, monkeypatch):
    def halfway(into: Path) -> None:
        file = write_mnist(into)["train"]
        file.write_bytes(file.read_bytes()[:1000])
        raise URLError("connection lost")

    def whole(into: Path) -> None:
        write_mnist(into)
        (into / "mnist.tar.gz").write_bytes(b"the archive")

    (tmp_path / "data").mkdir()
    use_data_dir(tmp_path / "data")
    use_fetch(monkeypatch, halfway)
    with pytest.raises(InputError, match="connection lost"):
        load("mnist", "train")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.suffix != ".lock"]
    use_fetch(monkeypatch, whole)
    assert_sound(load("mnist", "train"), 12)
    assert [path.name for path in (tmp_path / "data" / "mnist").iterdir()] == ["MNIST"]
    use_fetch(monkeypatch, offline)  # found from now on
    assert_sound(load("mnist", "test"), 8)


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(InputError, match="unknown data set 'cifar-10'; did you mean 'cifar10'"):
        load("cifar-10", "train")
    with pytest.raises(InputError, match="unknown split 'tests'; did you mean 'test'"):
        load("digits", "tests")


def test_a_data_dir_must_not_be_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file: give a folder"):
        use_data_dir(tmp_path / "file")


def test_where_nothing_can_be_written_pictures_are_refused_with_what_to_change(
    tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    data = tmp_path / "data"
    assert download.writable_root(data) == data
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"nothing can be written to {data} or .*set HOME"):
        download.writable_root(data)


def test_without_a_home_data_go_to_a_folder_of_the_user_id(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "home_folder", lambda: None)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    home = download.writable_root(Path("/proc/nothing"))
    assert home == tmp_path / f"mosaic-bench-{os.getuid()}" / "data"


@pytest.mark.parametrize("named_by", ("--data-dir", "MOSAIC_DATA"))
@pytest.mark.parametrize("name", ("digits", "fashion_mnist"))
def test_a_data_dir_that_does_not_exist_is_an_error(named_by, name, tmp_path, monkeypatch):
    """Also of digits, which need no files: what was named is never ignored."""
    write_fashion_mnist(tmp_path / "system")
    nowhere = tmp_path / "nowhere"
    with pytest.raises(InputError, match=rf"{nowhere} \({named_by}\) does not exist.*mkdir -p"):
        if named_by == "--data-dir":
            use_data_dir(nowhere)
        monkeypatch.setenv("MOSAIC_DATA", str(nowhere))
        load(name, "train")
    with pytest.raises(InputError, match="does not exist"):
        use_data_dir(nowhere)
    monkeypatch.setenv("MOSAIC_DATA", str(nowhere))
    with pytest.raises(InputError, match="does not exist"):
        use_data_dir(None)


def test_a_data_dir_without_the_data_set_does_not_mean_the_systems_copy(tmp_path):
    """The error names where a copy is, and nothing takes it unasked."""
    write_fashion_mnist(tmp_path / "system" / "fashion_mnist")
    assert_sound(load("fashion_mnist", "train"), 12)
    assert is_here("fashion_mnist", "train")
    (tmp_path / "mine").mkdir()
    use_data_dir(tmp_path / "mine")
    assert not is_here("fashion_mnist", "train")
    with pytest.raises(InputError, match=rf"It is in {tmp_path}/system/.*leave --data-dir"):
        load("fashion_mnist", "train")


def test_each_data_set_says_where_it_is(tmp_path, registry):
    assert place_of("digits") == "scikit-learn"
    assert place_of("mnist") == ""
    write_mnist(tmp_path / "mine")
    use_data_dir(tmp_path / "mine")
    assert place_of("mnist") == str(tmp_path / "mine" / "MNIST" / "raw")
    assert place_of(register_data(write_npz(tmp_path / "own.npz"))) == str(tmp_path / "own.npz")


def test_data_that_have_changed_under_a_task_are_an_error(tmp_path):
    write_mnist(tmp_path)
    use_data_dir(tmp_path)
    then = fingerprint(load("mnist", "train"))
    task = Task(dataset="mnist", data=then, n_clients=2, min_samples=1, omega=math.inf)
    assert sum(open_federation(task).sizes) == 11
    write_idx(tmp_path / "MNIST/raw/train-labels-idx1-ubyte", (np.arange(12) + 1).astype("u1") % 10)
    loading._load.cache_clear()
    now = fingerprint(load("mnist", "train"))
    other = replace(task, seed=1)
    with pytest.raises(InputError, match=f"other data: the train.*{tmp_path}.*{now}.*{then}"):
        open_federation(other)
    assert len(load_checked("mnist", "train", now).labels) == 12
