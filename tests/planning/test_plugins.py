"""Methods from outside: a file, a module or an installed package, checked when it enters."""

import pickle
import sys

import pytest

from benchmarks.planning import plugins
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import BUILT_IN, METHODS
from benchmarks.planning.plugins import load_method, loaded_plugins, resolve_method
from benchmarks.planning.suite import read_suite
from mosaic.fl.errors import InputError

MINE = '''"""Mine: the server sends its initial model and never changes it."""

from collections.abc import Iterator
from dataclasses import dataclass

import mosaic.fl as fl

PAPER = ""
PROTOCOL = "every round"
NEEDS = ()


@dataclass(frozen=True)
class Config:
    beta: float = 0.5


SPACE = {"beta": (0.0, 1.0)}


def run(task: fl.Task, config: Config) -> Iterator[fl.Snapshot]:
    server = fl.initial_model(task.spec, task.seed)
    for t in range(1, task.rounds + 1):
        yield fl.Snapshot(t, fl.predictor(server, task))
'''


@pytest.fixture(autouse=True)
def only_built_in_methods_afterwards(monkeypatch):
    """What a test loads is forgotten after it."""
    monkeypatch.setattr(plugins, "_loaded", {})
    yield
    for name in [name for name in METHODS if name not in BUILT_IN]:
        del METHODS[name]


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def cells(*methods):
    suite = read_suite("heterogeneity")
    return expand_cells(
        *suite, "quick", methods=list(methods), omega=[0.1], widths=["full"], seeds=[0]
    )


def test_a_file_is_a_method_beside_the_built_in_ones(mine):
    fedavg, outside = cells("fedavg", str(mine))
    assert (outside.label, outside.method, outside.config.beta) == ("mine", "mine", 0.5)
    assert fedavg.method_source == "" != outside.method_source
    assert list(METHODS)[-2:] == ["mine", "centralised"], "the ceiling is the last line of a table"


def test_the_content_of_the_file_is_in_the_key_and_its_place_is_not(mine, tmp_path, monkeypatch):
    [first] = cells(str(mine))

    elsewhere = tmp_path / "elsewhere" / "mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(MINE.replace("\n", "\r\n"), newline="")
    [moved] = cells(str(elsewhere))
    assert moved.key == first.key

    elsewhere.write_text(MINE.replace("never changes it", "does not change it"))
    [edited] = cells(str(elsewhere))
    assert edited.key != first.key


def test_a_suite_may_name_a_file_beside_it(mine, tmp_path):
    suite = tmp_path / "own.toml"
    suite.write_text(
        'question = "Is it?"\nomega = [0.1]\nclients = [2]\nmethods = ["fedavg", "mine.py"]\n'
        '[[method]]\nname = "mine.py"\nlabel = "mine-1"\nset = { beta = 1 }\n'
    )
    name, content = read_suite(str(suite))
    found = expand_cells(name, content, "quick", seeds=[0], folder=tmp_path)
    labels = [(cell.label, getattr(cell.config, "beta", None)) for cell in found]
    assert labels == [("fedavg", None), ("mine", 0.5), ("mine-1", 1.0)]


def test_settings_reach_a_method_from_outside(mine):
    suite = read_suite("heterogeneity")
    [cell] = expand_cells(
        *suite,
        "quick",
        methods=[str(mine)],
        omega=[0.1],
        widths=["full"],
        seeds=[0],
        settings={"mine": {"beta": "0.25"}},
    )
    assert cell.config.beta == 0.25
    with pytest.raises(InputError, match="unknown setting of mine 'bet'; did you mean 'beta'"):
        expand_cells(*suite, "quick", methods=[str(mine)], settings={"mine": {"bet": 1}})


def test_an_imported_module_is_a_method(mine, monkeypatch):
    monkeypatch.syspath_prepend(str(mine.parent))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine as module  # pyright: ignore[reportMissingImports]

    monkeypatch.delitem(sys.modules, "mine")
    assert resolve_method(module) == "mine"


def test_another_process_loads_the_same_method_without_the_file(mine):
    [cell] = cells(str(mine))
    [plugin] = pickle.loads(pickle.dumps(loaded_plugins()))
    pickled = pickle.dumps(cell)

    # As in a fresh process on another machine
    mine.unlink()
    plugins._loaded.clear()
    del METHODS["mine"]
    del sys.modules[type(cell.config).__module__]

    load_method(plugin)
    assert pickle.loads(pickled).key == cell.key


def test_an_installed_package_offers_a_method(tmp_path, monkeypatch):
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "__init__.py").write_text("NAME = 'theirs'\n")
    text = MINE.replace("import mosaic.fl as fl", "import mosaic.fl as fl\n\nfrom . import NAME")
    (tmp_path / "their_package" / "method.py").write_text(text)
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mosaic_bench.methods]\ntheirs = their_package.method\nlost = their_package.nowhere\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    [cell] = cells("theirs")
    assert cell.label == "theirs" and cell.method_source
    with pytest.raises(InputError, match="entry point 'lost' .* cannot be loaded: ModuleNotFound"):
        cells("lost")
    with pytest.raises(InputError, match="unknown method 'theirz'; did you mean 'theirs'"):
        resolve_method("theirz")


@pytest.mark.parametrize(
    "text, wanted",
    [
        (MINE.replace('PAPER = ""\n', ""), "PAPER"),
        (MINE.replace('PROTOCOL = "every round"', 'PROTOCOL = "sometimes"'), "every round"),
        (MINE.replace("NEEDS = ()", 'NEEDS = ("money",)'), "money"),
        (MINE.replace("frozen=True", "frozen=False"), "frozen"),
        (MINE.replace('"beta": (', '"gamma": ('), "gamma"),
        (MINE.replace('"""Mine: the', '"""The'), "Name: idea"),
        (MINE.replace("def run(", "def walk("), "run"),
        (MINE + "\nraise ValueError('no')\n", r"ValueError: no \(line \d+\)"),
        (MINE.replace("SPACE = {", "SPACE = {{"), r"cannot import .*mine.py.*\(line \d+\)"),
    ],
)
def test_what_is_missing_in_a_file_is_named(mine, text, wanted):
    mine.write_text(text)
    with pytest.raises(InputError, match=wanted) as error:
        resolve_method(str(mine))
    assert "mine" in str(error.value)
    assert "mine" not in METHODS


def test_a_name_is_taken_once(mine, tmp_path):
    taken = tmp_path / "fedavg.py"
    taken.write_text(MINE)
    with pytest.raises(InputError, match="'fedavg', which is a method of this package; rename"):
        resolve_method(str(taken))

    resolve_method(str(mine))
    twin = tmp_path / "twin" / "mine.py"
    twin.parent.mkdir()
    twin.write_text(MINE + "# another\n")
    with pytest.raises(InputError, match="two methods are called 'mine'"):
        resolve_method(str(twin))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="there is no file .*nowhere.py"):
        resolve_method(str(tmp_path / "nowhere.py"))
