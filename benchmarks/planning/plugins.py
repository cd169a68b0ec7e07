"""The door: methods, data sets, models and metrics that are not part of this package.

Something from outside is a Python file, an imported module, or the entry point of an installed
package. It is checked once, when it enters, and then has a name like a built-in one.

A method's source text travels with the session, so that worker processes and other machines need no
copy of the file. Its hash is part of a cell's key: an edited file is another method.
"""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from benchmarks.planning.entry_points import Kind, entry_points
from benchmarks.planning.methods import CEILING, METHODS
from mosaic.fl.contract import check_method
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.home import expanded
from mosaic.fl.text_files import read_text


@dataclass(frozen=True)
class Plugin:
    """One thing from outside, in a form that another process can load again.

    Attributes:
        kind: what it is.
        name: the name under which it is known here.
        path: where it was found, for error messages; the folder or file of a data set.
        source: the text of its Python file; empty for data.
        installed: it is the entry point ``name`` of an installed package, which every process has.
        sizes: the heights of the images that a model was checked for.
    """

    kind: Kind
    name: str
    path: str
    source: str = ""
    installed: bool = False
    sizes: tuple[int, ...] = ()


_loaded: dict[tuple[Kind, str], Plugin] = {}


def loaded_plugins() -> tuple[Plugin, ...]:
    """Everything from outside that this process knows, in the order in which it came."""
    return tuple(_loaded.values())


def written_as(kind: Kind, name: str) -> str:
    """How a user gives something again: its file or folder if it came from one, else its name."""
    plugin = _loaded.get((kind, name))
    if plugin is None or (plugin.installed and kind == "method"):
        return name
    return plugin.path


def method_source(name: str) -> str:
    """The hash of the file of a method from outside; empty for a built-in method."""
    plugin = _loaded.get(("method", name))
    return content_hash(plugin.source) if plugin else ""


def content_hash(source: str) -> str:
    """The first 16 hex digits of the SHA-256 of a text, with line ends as LF."""
    text = source.replace("\r\n", "\n")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve_method(given: str | ModuleType, folder: Path | None = None) -> str:
    """The name in METHODS of what a user gave, loading it if it is from outside.

    Args:
        given: a name of METHODS, the path of a ``.py`` file, an entry point of the group
            ``mosaic_bench.methods``, or an imported module.
        folder: where a relative path may also start: the folder of the suite file that names it.

    Returns:
        The method's name.

    Raises:
        InputError: if there is no such method or file, or if it is not a method.
    """
    if isinstance(given, ModuleType):
        return _load_method_file(Path(str(given.__file__)))

    if given.endswith(".py"):
        return _load_method_file(find_file(given, folder))

    if given not in METHODS:
        _load_installed_method(given)
    return given


def find_file(given: str, folder: Path | None = None) -> Path:
    """The file that a path names, from the working directory or else from ``folder``.

    Raises:
        InputError: if there is none.
    """
    places = [expanded(given)]
    if folder is not None:
        places.append(folder / given)

    for place in places:
        if place.is_file():
            return place.resolve()

    looked = " and ".join(str(place) for place in places)
    raise InputError(f"there is no file {looked}; give the path of an existing Python file.")


def load_method(plugin: Plugin) -> None:
    """Add a method that another process has loaded to METHODS, from its text or its package."""
    if ("method", plugin.name) in _loaded:
        return
    if plugin.installed:
        _load_installed_method(plugin.name)
        return
    module = import_source(plugin.name, plugin.source, plugin.path)
    _register_method(plugin, module)


def import_source(name: str, source: str, path: str) -> ModuleType:
    """A module from the text of its file.

    Args:
        name: the plugin's name. The module is called ``mosaic_bench_plugin_<name>_<hash>`` in every
            process, so that objects of its classes can be pickled.
        source: the text.
        path: the file, for tracebacks.

    Returns:
        The module, from ``sys.modules`` if the same text was imported before.

    Raises:
        InputError: if importing it fails; the error's own text and line are in the message.
    """
    module_name = f"mosaic_bench_plugin_{name}_{content_hash(source)}"
    if module_name in sys.modules:
        return sys.modules[module_name]

    module = ModuleType(module_name)
    module.__file__ = path
    sys.modules[module_name] = module
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except BaseException as error:
        del sys.modules[module_name]
        if not isinstance(error, (Exception, SystemExit)):
            raise
        raise InputError(
            f"cannot import {path}: {type(error).__name__}: {error}{_line_of(error, path)}."
        ) from error
    return module


def _line_of(error: BaseException, path: str) -> str:
    """ " (line 12)": the last line of the file in the error's traceback, if there is one."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == path:
            line = step.tb_lineno
        step = step.tb_next
    return f" (line {line})" if line else ""


def _load_method_file(path: Path) -> str:
    plugin = Plugin("method", path.stem, str(path), read_text(path))
    module = import_source(plugin.name, plugin.source, plugin.path)
    _register_method(plugin, module)
    return plugin.name


def _load_installed_method(name: str) -> None:
    """Load the entry point of that name; it may import other modules of its package."""
    points = entry_points("method")
    if name not in points:
        raise did_you_mean("method", name, [*METHODS, *points])

    try:
        module = points[name].load()
        path = str(module.__file__)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the entry point {name!r} = {points[name].value!r} of an installed package cannot be "
            f"loaded: {type(error).__name__}: {error}."
        ) from error

    plugin = Plugin("method", name, path, read_text(Path(path)), installed=True)
    _register_method(plugin, module)


def _register_method(plugin: Plugin, module: ModuleType) -> None:
    """Check a method and add it to METHODS.

    Raises:
        InputError: if it is not a method, or if its name is taken.
    """
    known = _loaded.get(("method", plugin.name))
    if known is None and plugin.name in METHODS:
        raise InputError(
            f"{plugin.path} would be called {plugin.name!r}, which is a method of this package; "
            "rename the file."
        )
    if known is not None and known.path != plugin.path and known.source != plugin.source:
        raise InputError(
            f"two methods are called {plugin.name!r}: {known.path} and {plugin.path}; "
            "rename one of the files."
        )

    check_method(plugin.name, module)

    # The ceiling stays the last line of every table.
    ceiling = METHODS.pop(CEILING)
    METHODS[plugin.name] = module
    METHODS[CEILING] = ceiling
    _loaded["method", plugin.name] = plugin


def remember(plugin: Plugin) -> None:
    """Remember something that this process has loaded, so that other processes can load it too."""
    _loaded[plugin.kind, plugin.name] = plugin
