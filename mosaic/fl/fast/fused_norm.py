"""BatchNorm, ReLU and max-pooling in one pass over the memory.

PyTorch's operators for them take half of a training step of a small CNN. On a CPU with a C++
compiler, ``fused_norm.cpp`` is compiled once per machine, in two seconds, and kept in the user's
cache folder. Anywhere else PyTorch's own operators do the same, up to rounding. To use these
everywhere, set the environment variable ``MOSAIC_KERNELS=torch``.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mosaic.fl.home import user_cache
from mosaic.fl.unfinished import sweep, temporary_folder, unfinished

SOURCE = Path(__file__).with_name("fused_norm.cpp")

COMPILER_FLAGS = (
    ("-march=native", "-fopenmp"),
    ("-march=native",),
    ("-fopenmp",),
    (),
)
"""Sets of flags; the first that the compiler accepts is used."""

DIGEST_SIZE = 32  # bytes of the SHA-256 that follows what the compiler wrote; no loader minds it


class NormReluPool(nn.BatchNorm2d):
    """ReLU(BatchNorm(x)), then with ``pool`` the maximum of 2x2 windows.

    x is (B, C, H, W), float32 or bfloat16; the result is (B, C, H, W) or (B, C, H // 2, W // 2), of
    the same type. The state is that of ``nn.BatchNorm2d``. Sums are in float32 or better. The
    gradient cannot be differentiated again.

    Args:
        channels: C.
        pool: Whether max-pooling follows.
    """

    def __init__(self, channels: int, pool: bool = False):
        super().__init__(channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and library():
            return _Fused.apply(x, self.weight, self.bias, self)
        x = super().forward(x)
        if self.pool:
            x = F.max_pool2d(x, 2)  # before ReLU, which has a quarter of the work then
        return torch.relu_(x)


class _Fused(torch.autograd.Function):
    """Both passes of ``NormReluPool`` by the compiled kernels."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, norm: NormReluPool) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        n_images, channels, height, width = x.shape
        window = 2 if norm.pool else 1
        size = (n_images, channels, height // window, width // window)
        y = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)

        # Which pixel of each window is the largest: only the gradient needs it.
        argmax = None
        needs_gradient = any(ctx.needs_input_grad)
        if needs_gradient:
            argmax = torch.empty(size, dtype=torch.uint8, memory_format=torch.channels_last)

        running_mean = norm.running_mean
        running_var = norm.running_var
        assert running_mean is not None and running_var is not None  # NormReluPool has both
        if norm.training:
            mean, var = torch.empty(2, channels).unbind()  # the kernel writes them
        else:
            mean, var = running_mean, running_var
        settings = {"window": window, "training": norm.training, "eps": norm.eps}
        tensors = {"x": x, "y": y, "argmax": argmax, "mean": mean, "var": var}
        _call("forward_pass", settings, weight=weight, bias=bias, **tensors)

        if norm.training and norm.momentum:
            n_values = n_images * height * width
            unbiased = var * (n_values / max(n_values - 1, 1))
            running_mean.lerp_(mean, norm.momentum)
            running_var.lerp_(unbiased, norm.momentum)
        if needs_gradient:
            ctx.save_for_backward(x, argmax, mean, var, weight)
            ctx.settings = settings
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, argmax, mean, var, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
        grad_y = grad_y.contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x) if needs_x else None
        grad_weight = None
        grad_bias = None
        if needs_weight or needs_bias:
            grad_weight, grad_bias = torch.empty(2, len(weight)).unbind()

        inputs = {"x": x, "argmax": argmax, "mean": mean, "var": var, "weight": weight}
        gradients = {"grad_y": grad_y, "grad_x": grad_x}
        gradients |= {"grad_weight": grad_weight, "grad_bias": grad_bias}
        _call("backward_pass", ctx.settings, **inputs, **gradients)
        return grad_x, grad_weight, grad_bias, None


class _Arguments(ctypes.Structure):
    """The arguments of both kernels: ``struct Arguments`` of ``fused_norm.cpp``, field by field."""

    _fields_ = [
        ("n_images", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("window", ctypes.c_int32),
        ("bfloat16", ctypes.c_int32),
        ("training", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("eps", ctypes.c_float),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("argmax", ctypes.c_void_p),
        ("mean", ctypes.c_void_p),
        ("var", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("grad_y", ctypes.c_void_p),
        ("grad_x", ctypes.c_void_p),
        ("grad_weight", ctypes.c_void_p),
        ("grad_bias", ctypes.c_void_p),
    ]


def _call(kernel: str, settings: dict[str, int | float], **tensors: Tensor | None) -> None:
    """Run a compiled kernel.

    Args:
        kernel: "forward_pass" or "backward_pass".
        settings: ``window``, ``training`` and ``eps``.
        **tensors: The fields of ``_Arguments`` that are tensors. Those that are None or left out
            are null pointers.
    """
    x = tensors["x"]
    assert x is not None
    n_images, channels, height, width = x.shape
    arguments = _Arguments(
        n_images=n_images,
        height=height,
        width=width,
        channels=channels,
        bfloat16=x.dtype == torch.bfloat16,
        threads=torch.get_num_threads(),
        **settings,
    )
    for name, tensor in tensors.items():
        if tensor is not None:
            setattr(arguments, name, tensor.data_ptr())
    getattr(library(), kernel)(ctypes.byref(arguments))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where PyTorch's operators are to be used.

    That is so without a compiler, where compiling fails, and with ``MOSAIC_KERNELS=torch``. The
    compiler is ``CXX``, ``c++`` or ``g++``.
    """
    found = find_library()
    return found if isinstance(found, ctypes.CDLL) else None


def find_library() -> ctypes.CDLL | str:
    """The compiled kernels, or why there are none."""
    wanted = os.environ.get("CXX", "c++")
    compiler = shutil.which(wanted) or shutil.which("g++")
    if os.environ.get("MOSAIC_KERNELS") == "torch":
        return "MOSAIC_KERNELS=torch"
    if not compiler:
        return f"there is no C++ compiler {wanted} or g++"
    # Processes share the file, whose name has whatever the compiled code depends on
    identity = (SOURCE.read_text(), COMPILER_FLAGS, compiler, _processor())
    name = f"norm_relu_pool-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}.so"

    problem = ""
    for folder in (user_cache(), None):
        try:
            with _made(folder) as place:
                return _load(place / name, compiler)
        except OSError as error:  # nothing can be written to it, it is full, or there is no memory
            problem = str(error)
    return f"they cannot be compiled or loaded: {problem}"


@contextlib.contextmanager
def _made(folder: Path | None) -> Iterator[Path]:
    """The folder, which is made if it is not there; None: a temporary one for this process."""
    if folder is None:
        with temporary_folder(Path(tempfile.gettempdir()), "kernels") as folder:
            yield folder
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _load(path: Path, compiler: str) -> ctypes.CDLL:
    """The library at ``path``, compiled if no sound one is there yet.

    Raises:
        OSError: It cannot be compiled or loaded.
    """
    try:
        return _loaded(path)
    except (OSError, AttributeError):  # it is absent or damaged
        _compile(path, compiler)
        return _loaded(path)


def _loaded(path: Path) -> ctypes.CDLL:
    """Load a library, also from a file system that is mounted with ``noexec``.

    Raises:
        OSError: It cannot be loaded, or is damaged, which could end the process if it were loaded.
    """
    content = path.read_bytes()
    if hashlib.sha256(content[:-DIGEST_SIZE]).digest() != content[-DIGEST_SIZE:]:
        raise OSError(f"{path} is damaged")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError:
        if not path.exists() or not hasattr(os, "memfd_create"):
            raise
        loaded = _loaded_from_memory(path)

    for kernel in (loaded.forward_pass, loaded.backward_pass):
        kernel.argtypes = [ctypes.POINTER(_Arguments)]
        kernel.restype = None
    return loaded


def _loaded_from_memory(path: Path) -> ctypes.CDLL:
    """Load a library from a copy in memory, which is on no mounted file system."""
    copy = os.memfd_create(path.name)
    # It stays open: the loader would take another copy of the same number for this one
    with open(copy, "wb", closefd=False) as file:
        file.write(path.read_bytes())
    return ctypes.CDLL(f"/proc/self/fd/{copy}")


def _compile(path: Path, compiler: str) -> None:
    """Compile the kernels to ``path`` with the first set of flags that works.

    Raises:
        OSError: No set works, or nothing can be written.
    """
    command = [compiler, "-O3", "-std=c++17", "-shared", "-fPIC"]
    sweep(path.parent, deep=False)
    # Other processes may compile at the same time: each writes its own file and moves it into
    # place in one step.
    with unfinished(path) as temporary:
        files = [str(SOURCE), "-o", str(temporary)]
        for flags in COMPILER_FLAGS:
            result = subprocess.run([*command, *flags, *files], capture_output=True)
            if result.returncode < 0:  # killed, for its memory perhaps: that says nothing of flags
                raise OSError(f"{compiler} was ended by the signal {-result.returncode}")
            if result.returncode == 0 and temporary.exists():
                content = temporary.read_bytes()
                temporary.write_bytes(content + hashlib.sha256(content).digest())
                temporary.replace(path)
                return
    lines = result.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
    raise OSError(f"{compiler} fails and says: {lines[-1]}")


def _processor() -> tuple[str, ...]:
    """What ``-march=native`` depends on: unlike machines may share a home folder."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = []
    if cpuinfo.exists():
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()  # the first core
    names = ("vendor_id", "cpu family", "model", "flags", "Features")
    described = [line for line in lines if line.startswith(names)]
    return (platform.machine(), platform.processor(), *described)
