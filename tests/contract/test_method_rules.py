"""How method files are written: what they import, how long they are, and what a module has."""

import ast
import dataclasses
from pathlib import Path

import pytest

from benchmarks.planning.methods import METHODS

ROOT = Path(__file__).parents[2]


def imports(path: Path) -> set[str]:
    """The modules that a file imports, with ``from a import b`` as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def project_imports(path: Path) -> set[str]:
    """The imports that are of this project."""
    return {
        name
        for name in imports(path)
        if name.split(".")[0] in ("mosaic", "baselines", "benchmarks", "tests")
    }


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("**/*.py" if folder == "mosaic/fl" else "*.py"))


@pytest.mark.parametrize("path", files("mosaic/fl"), ids=name_of)
def test_the_substrate_imports_the_substrate_only(path):
    imported = project_imports(path)
    assert all(name.startswith("mosaic.fl.") for name in imported), imported


@pytest.mark.parametrize("path", files("baselines"), ids=name_of)
def test_a_baseline_imports_the_substrate_and_its_own_parts_only(path):
    """``dense_once.py`` is a part of ``dense.py``; only ``__init__.py`` may import all methods, and
    only Mosaic's ablation may import Mosaic.
    """
    if path.stem == "__init__":
        allowed = ("mosaic.fl.", "baselines.")
    elif path.stem == "prototype_head":
        allowed = ("mosaic.",)
    else:
        method = path.stem.split("_")[0]
        allowed = ("mosaic.fl.", f"baselines.{method}.", f"baselines.{method}_")
    imported = project_imports(path)
    assert all(name.startswith(allowed) for name in imported), imported


@pytest.mark.parametrize("path", files("mosaic"), ids=name_of)
def test_mosaic_imports_itself_and_the_substrate_only(path):
    imported = project_imports(path)
    assert all(name.startswith("mosaic.") for name in imported), imported


METHOD_FILES = files("baselines") + files("mosaic")


@pytest.mark.parametrize("path", METHOD_FILES, ids=name_of)
def test_a_method_file_is_under_300_lines_and_run_under_60(path):
    source = path.read_text()
    assert len(source.splitlines()) < 300
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            assert node.end_lineno - node.lineno + 1 < 60


@pytest.mark.parametrize("path", METHOD_FILES, ids=name_of)
def test_a_method_file_prints_nothing_opens_nothing_and_does_not_name_a_device_or_the_test_data(
    path,
):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "open", "load"), ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("cuda", "argparse"), ast.unparse(node)
    assert not {name.split(".")[0] for name in imports(path)} & {"argparse", "logging"}
    assert "mosaic.fl.data.loading.load" not in imports(path)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_frozen_config_a_space_of_its_fields_and_a_docstring(name):
    method = METHODS[name]
    config = method.Config()
    assert (
        method.__doc__ and dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen
    )
    fields = {f.name for f in dataclasses.fields(config)}
    for field, space in method.SPACE.items():
        assert field in fields, field
        default = getattr(config, field)
        if isinstance(space, list):
            assert default in space, f"the default of {field} is not among its choices"
        else:
            low, high = space
            assert low <= default <= high, f"the default of {field} is outside its range"


@pytest.mark.parametrize("name", METHODS)
def test_run_stages_and_config_of_a_method_have_docstrings(name):
    method = METHODS[name]
    assert method.run.__doc__
    assert not method.Config.__doc__.startswith("Config("), "dataclass's own text"
    if hasattr(method, "stages"):
        assert method.stages.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_a_field_that_counts_work_is_a_whole_number_of_steps_and_a_choice_has_its_default(name):
    for field in dataclasses.fields(METHODS[name].Config):
        if "work" in field.metadata:
            assert field.metadata["work"] in ("client", "server") and isinstance(field.default, int)
        if "choices" in field.metadata:
            assert field.metadata["choices"][0] == field.default
