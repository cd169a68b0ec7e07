"""A user id without a name and without HOME, as a container or a batch job has it."""

from pathlib import Path

import pytest

from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.errors import InputError
from mosaic.fl.home import expanded, home_folder, user_cache


@pytest.fixture
def homeless(monkeypatch):
    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_without_a_home_there_is_no_cache_of_the_user(homeless, monkeypatch):
    assert home_folder() is None and user_cache() is None
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/cache")
    assert user_cache() == Path("/scratch/cache/mosaic-bench")
    for name in ("XDG_CACHE_HOME", "HOME"):  # the standard: a relative path counts as none
        monkeypatch.setenv(name, "cache")
        assert user_cache() is None


def test_a_path_below_a_missing_home_is_explained(homeless):
    assert expanded("/data/~x") == Path("/data/~x")
    for given in ("~/data", "~nobody-of-this-name/data"):
        with pytest.raises(InputError, match=f"cannot read {given}: .* Give the whole path"):
            use_data_dir(given)
