"""The axes of a grid as a user writes them: seeds, widths, omega."""

import pytest

from benchmarks.planning.axes import check_omega, first_seeds, seeds_of, widths_of
from mosaic.fl.errors import InputError


@pytest.mark.parametrize(
    "given, seeds",
    [
        ("3", [0, 1, 2]),
        (1, [0]),
        ("4,0", [4, 0]),
        ([5, 6], [5, 6]),
        (" 2 ", [0, 1]),
        ("101,", [101]),
        ("20", list(range(20))),
    ],
)
def test_seeds(given, seeds):
    assert seeds_of(given) == seeds


@pytest.mark.parametrize("given", ["0", "-1", "x", "", "1,1", "1,-2", "2.5", ",", "1,,2"])
def test_wrong_seeds(given):
    with pytest.raises(InputError, match="seeds"):
        seeds_of(given)


@pytest.mark.parametrize(
    "name, n_clients, widths",
    [
        ("full", 3, ()),
        ("1,1", 4, ()),
        ("0.5", 3, (0.5, 0.5, 0.5)),
        ("1,0.5", 4, (1, 1, 0.5, 0.5)),
        ("1,0.5,0.25", 3, (1, 0.5, 0.25)),
        # (1/2)^min(2, floor(3k/10)), k = 1..10: floors 0 0 0 1 1 1 2 2 2 3
        ("mixed", 10, (1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25)),
        # (1/2)^min(4, k), k = 1..5
        ("rho=5", 5, (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16)),
        ("rho=5,sigma=1", 5, (1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2)),
        ("rho=0", 3, ()),
    ],
)
def test_widths(name, n_clients, widths):
    assert widths_of(name, n_clients) == widths


@pytest.mark.parametrize(
    "name",
    [
        "mxed",
        "",
        "0",
        "1.5",
        "1,-1",
        "rho=x",
        "rho=5,tau=3",
        "rho=5,rho=3",
        "rho=",
        "nan",
        "rho=nan",
        "rho=inf",
    ],
)
def test_wrong_widths(name):
    with pytest.raises(InputError, match="width"):
        widths_of(name, 3)


@pytest.mark.parametrize("text, omega", [("0.1", 0.1), ("inf", float("inf")), ("1e-4", 1e-4)])
def test_omega(text, omega):
    assert check_omega(text) == omega


@pytest.mark.parametrize("text", ["0", "-1", "nan", "much", "1e-5"])
def test_wrong_omega(text):
    with pytest.raises(InputError, match="omega"):
        check_omega(text)


@pytest.mark.parametrize("given", ["21", "101"])
def test_a_large_number_could_be_a_count_or_a_seed_so_the_user_is_asked(given):
    with pytest.raises(InputError, match=rf"--n-seeds {given} .* --seeds {given},"):
        seeds_of(given)
    assert first_seeds(int(given)) == seeds_of(int(given)) == list(range(int(given)))
