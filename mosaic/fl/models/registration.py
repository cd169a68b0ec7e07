"""A model of your own, without editing this package: a file, or one call.

A model file is Python, with a docstring that says what the model is, and ``MODEL``::

    \"\"\"A multi-layer perceptron with one hidden layer of 16 w units.\"\"\"

    from torch import nn

    from mosaic.fl.models.registry import Model


    class Perceptron(nn.Module):
        def __init__(self, spec, channels):
            super().__init__()
            n_hidden = 16 * spec.base_width
            self.hidden = nn.Linear(spec.channels * spec.size**2, n_hidden)
            self.linear = nn.Linear(n_hidden, spec.n_classes)

        def features(self, x):
            return self.hidden(x.flatten(1)).relu()

        def forward(self, x):
            return self.linear(self.features(x))


    MODEL = Model(network=Perceptron, narrows=False)

With ``narrows=False`` all clients train the whole model, and ``group`` and ``multiples`` may be
left out: no tensor is ever cut. For sub-models of smaller widths, which HeteroFL and FedRolex need,
give ``group`` and ``multiples``: ``mosaic.fl.models.registry`` explains them with an example.
Methods that match BatchNorm statistics (DENSE) need at least one BatchNorm layer.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from torch import nn

from mosaic.fl.errors import InputError
from mosaic.fl.models.check import SIZES, check_model
from mosaic.fl.models.registry import MODELS, Model, whole_tensors
from mosaic.fl.models.spec import Spec
from mosaic.fl.text_files import text_of_bytes

EXAMPLE = "MODEL = Model(network=YourNetwork, narrows=False)"


def register_model(
    name: str,
    network: Callable[[Spec, Sequence[int]], nn.Module],
    *,
    groups: Callable[[str], tuple[str, ...]] = whole_tensors,
    multiples: tuple[int, ...] = (1,),
    narrows: bool = True,
) -> None:
    """Check a model and add it to ``MODELS``, for this process.

    Args:
        name: What ``Task.model`` is to say. It is part of every result's identity, so it should
            change when the network does; ``load_model_file`` takes care of that.
        network: ``network(spec, channels)`` builds the network; see ``Model``.
        groups: The channel groups of each tensor, by its name; ``group`` of ``Model``.
        multiples: Channels of the groups c1, c2, ..., in base widths.
        narrows: Whether there is a narrow version of each width in (0, 1).

    Raises:
        InputError: The name is taken by another model, or the model breaks a rule of
            ``check_model``.
    """
    _add(name, Model(network, groups, multiples, narrows), SIZES)


def load_model_file(path: str | Path, sizes: Sequence[int] = SIZES) -> str:
    """Check the model of a file and add it to ``MODELS``, for this process.

    The file is run, so it must be trusted. Once its model is in ``MODELS``, the same file is
    neither run nor checked again.

    Args:
        path: A Python file as shown at the top of this module.
        sizes: The heights and widths of images, in pixels, that the model must work with.

    Returns:
        The model's name for ``Task.model``: the file's name and 12 hexadecimal digits of the
        SHA-256 of its bytes, "mlp-0123456789ab". A changed file is another model, whose results
        are never mixed with the old ones. Files that it imports are not part of the hash.

    Raises:
        InputError: There is no such file, it fails to run, it lacks a docstring or ``MODEL``, or
            the model breaks a rule of ``check_model``.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no model file {path}.")
    if path.suffix != ".py" or not re.fullmatch(r"\w[\w-]*", path.stem, re.ASCII):
        raise InputError(
            f"model file {path}: name it with letters, digits, _ and -, ending in .py, "
            "for example my_model.py."
        )
    content = path.read_bytes()
    text_of_bytes(content, f"model file {path}")  # an error that is clearer than Python's
    name = f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}"
    if name in MODELS:
        return name

    module = _imported(path, name)
    if not module.__doc__:
        raise InputError(
            f"model file {path} has no docstring. Write what the model is as its first line, "
            'for example """A perceptron with one hidden layer.""".'
        )
    model = getattr(module, "MODEL", None)
    if model is None:
        raise InputError(f"model file {path} declares no MODEL. Write {EXAMPLE} at its end.")
    if not isinstance(model, Model):
        raise InputError(
            f"model file {path}: MODEL is a {type(model).__name__}. Write {EXAMPLE}, "
            "with from mosaic.fl.models.registry import Model."
        )
    _add(name, model, sizes)
    return name


def _add(name: str, model: Model, sizes: Sequence[int]) -> None:
    if name in MODELS:
        if MODELS[name] == model:
            return
        raise InputError(f"there is already a model {name!r}. Give the new one another name.")
    check_model(name, model, sizes)
    MODELS[name] = model


def _imported(path: Path, name: str) -> ModuleType:
    """The file, run as a module of its own."""
    module_name = f"mosaic_model_{name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None  # true for every file that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[module_name]
        raise InputError(
            f"model file {path}, line {error.lineno}: {error.msg}. Correct that line."
        ) from error
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise InputError(
            f"model file {path} failed with {type(error).__name__}: {error}. "
            f"Try it alone: python {path}"
        ) from error
    return module
