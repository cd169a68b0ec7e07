"""mosaic.fl as a public API: every name resolves, its example runs, and importing it is cheap."""

import ast
import contextlib
import importlib
import io
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mosaic import fl

EXAMPLE = textwrap.dedent(fl.__doc__.split("digits:\n\n")[1].split("\n\nA name is")[0])


@pytest.mark.parametrize("name", fl.__all__)
def test_every_public_name_is_that_of_the_module_that_defines_it(name):
    module = importlib.import_module(f"mosaic.fl.{fl._MODULES[name]}")
    assert getattr(fl, name) is getattr(module, name)


def test_the_public_names_are_sorted_and_each_has_a_module():
    assert fl.__all__ == sorted(set(fl.__all__))
    assert set(fl._MODULES) == set(fl.__all__)
    assert set(fl.__all__) <= set(dir(fl))


def test_no_public_name_is_that_of_a_module_of_the_package():
    modules = {path.stem for path in Path(fl.__file__).parent.iterdir()}
    assert not modules & set(fl.__all__)


def test_type_checkers_see_the_same_names_from_the_same_modules():
    seen = {}
    for node in ast.walk(ast.parse(Path(fl.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("mosaic.fl."):
            for alias in node.names:
                seen[alias.name] = node.module.removeprefix("mosaic.fl.")
    assert seen == fl._MODULES


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = fl.tarin


def test_the_example_of_the_docstring_runs_and_learns():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(EXAMPLE, {})
    word, accuracy = printed.getvalue().split()
    assert word == "accuracy" and float(accuracy) > 0.5  # chance is 0.1


def test_importing_the_package_alone_does_not_import_pytorch():
    check = "import sys, mosaic.fl; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
