"""BatchNorm, ReLU and max-pooling in one pass over the memory: what PyTorch spends half of a small CNN's step on.

On a CPU with a C++ compiler, ``fused_norm.cpp`` is compiled once a machine (two seconds, kept in the user's cache
folder); anywhere else PyTorch's own operators do the same, to rounding. ``MOSAIC_KERNELS=torch`` asks for these.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SOURCE = Path(__file__).with_name("fused_norm.cpp")


class NormReluPool(nn.BatchNorm2d):
    """ReLU(BatchNorm(x)), then with ``pool`` the maximum of 2x2 windows; the state is BatchNorm2d's.

    x is (B, C, H, W), float32 or bfloat16; the result has its type. Sums are in float32 or better. Its gradient
    cannot be differentiated again.
    """

    def __init__(self, channels: int, pool: bool = False):
        super().__init__(channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and library():
            return _Fused.apply(x, self.weight, self.bias, self)
        x = super().forward(x)
        return torch.relu_(
            F.max_pool2d(x, 2) if self.pool else x
        )  # the maximum first: a quarter of the work


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, norm: NormReluPool) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        (n, c, h, w), window = x.shape, 2 if norm.pool else 1
        size = (n, c, h // window, w // window)
        y = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        differentiable = any(ctx.needs_input_grad)
        chosen = (
            torch.empty(size, dtype=torch.uint8, memory_format=torch.channels_last)
            if differentiable
            else None
        )
        mean, var = (
            torch.empty(2, c).unbind() if norm.training else (norm.running_mean, norm.running_var)
        )
        shape = (ctypes.c_int64 * 5)(n, h, w, c, window)
        library().run(
            *(
                x.dtype == torch.bfloat16,
                _at(x),
                _at(y),
                _at(chosen),
                shape,
                norm.training,
                _at(mean),
                _at(var),
            ),
            *(norm.eps, _at(weight), _at(bias), torch.get_num_threads()),
        )
        if norm.training and norm.momentum:
            pixels = n * h * w
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(var * (pixels / max(pixels - 1, 1)), norm.momentum)
        if differentiable:
            ctx.save_for_backward(x, chosen, mean, var, weight)
            ctx.shape, ctx.training, ctx.eps = shape, norm.training, norm.eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        x, chosen, mean, var, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        g = g.contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x) if of_x else None
        d_weight, d_bias = (
            torch.empty(2, len(weight)).unbind() if of_weight or of_bias else (None, None)
        )
        library().run_gradient(
            *(
                x.dtype == torch.bfloat16,
                _at(g),
                _at(x),
                _at(chosen),
                _at(dx),
                ctx.shape,
                ctx.training,
                _at(mean),
            ),
            *(_at(var), ctx.eps, _at(weight), _at(d_weight), _at(d_bias), torch.get_num_threads()),
        )
        return dx, d_weight, d_bias, None


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where there is no compiler, or PyTorch's operators were asked for."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if os.environ.get("MOSAIC_KERNELS") == "torch" or not compiler:
        return None
    made_of = (SOURCE.read_text(), FLAGS, compiler, _processor())
    name = f"norm_relu_pool-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}.so"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mosaic-bench"
    try:
        home.mkdir(parents=True, exist_ok=True)
        return _loaded(home / name, compiler)
    except OSError:  # no home to write to: compiled for this process alone
        with tempfile.TemporaryDirectory() as folder:
            return _loaded(Path(folder) / name, compiler)


FLAGS = (
    ("-march=native", "-fopenmp"),
    ("-march=native",),
    ("-fopenmp",),
    (),
)  # the first that the compiler takes


def _loaded(path: Path, compiler: str) -> ctypes.CDLL | None:
    for flags in () if path.exists() else FLAGS:
        made = path.with_suffix(f".{os.getpid()}")
        command = [
            compiler,
            "-O3",
            "-std=c++17",
            "-shared",
            "-fPIC",
            *flags,
            str(SOURCE),
            "-o",
            str(made),
        ]
        if subprocess.run(command, capture_output=True).returncode == 0:
            made.replace(path)  # whole or not at all: other processes may be at it too
            break
    if not path.exists():
        return None
    found = ctypes.CDLL(str(path))
    number, at = ctypes.c_float, ctypes.c_void_p
    found.run.argtypes = [
        ctypes.c_bool,
        at,
        at,
        at,
        at,
        ctypes.c_bool,
        at,
        at,
        number,
        at,
        at,
        ctypes.c_int,
    ]
    found.run_gradient.argtypes = [
        *(
            ctypes.c_bool,
            at,
            at,
            at,
            at,
            at,
            ctypes.c_bool,
            at,
            at,
            number,
            at,
            at,
            at,
            ctypes.c_int,
        )
    ]
    return found


def _processor() -> tuple[str, ...]:
    """What -march=native depends on: a home may be shared by unlike machines."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.exists() else []
    kept = [
        line
        for line in lines
        if line.startswith(("vendor_id", "cpu family", "model", "flags", "Features"))
    ]
    return (platform.machine(), platform.processor(), *kept)
